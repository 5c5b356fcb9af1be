package run

// nonblock has no meaning here: there are no FIFOs in folders.
const nonblock = 0
