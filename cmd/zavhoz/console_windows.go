package main

// console is the console's input, whatever the standard streams are.
const console = "CONIN$"
