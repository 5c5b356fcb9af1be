package importer

// Spelled is a text as the names of handles and variables would spell it, whatever its case and punctuation.
func Spelled(text string) string { return asVariable(text) }
