package deliver

// SafePath is the search path of every command.
const SafePath = `C:\Windows\System32;C:\Windows`
