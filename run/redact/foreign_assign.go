package redact

// assignments are variables whose names say what they hold, as env, .env files, Compose files and connection strings have them. Names of code are lower case
// and mixed, and their values are code: they are left alone, but for the "password=" of connection strings, and only with a digit in its value.
//
// Shapes: POSIX.1 §8.1 (names of variables), libpq "Connection strings", ADO.NET "Connection strings".
func assignments() []foreignRule {
	return []foreignRule{
		assigned("PASSWORD=", false), assigned("PASSWORD: ", false),
		assigned("PASSWD=", false), assigned("PASSWD: ", false),
		assigned("SECRET=", false), assigned("SECRET: ", false),
		assigned("TOKEN=", false), assigned("TOKEN: ", false),
		assigned("API_KEY=", false), assigned("API_KEY: ", false),
		assigned("SECRET_KEY=", false), assigned("SECRET_KEY: ", false),
		assigned("PRIVATE_KEY=", false), assigned("PRIVATE_KEY: ", false),
		assigned("ACCESS_KEY=", false), assigned("ACCESS_KEY: ", false),
		assigned("SECRET_KEY_BASE=", false),
		assigned("password=", true), assigned("Password=", true),
	}
}

const (
	leastAssigned = 8 // bytes of a value
	maxAssigned   = 512
	fewestBytes   = 5 // different ones: "--------" is none
)

// assignedValue is everything but what ends a value in a shell, a file of variables or a connection string.
var assignedValue = func() *class {
	c := new(class)
	for i := 0x21; i < 0x7f; i++ {
		c[i] = true
	}
	for _, x := range "\"'`\\,;&<>|()" {
		c[x] = false
	}
	return c
}()

// assigned is the value behind a name that ends with the literal; code says that code is written so too: then a digit is wanted.
func assigned(literal string, code bool) foreignRule {
	return foreignRule{name: "an-assigned-secret", literal: literal, find: func(b []byte, at int, final bool) (finding, verdict) {
		if at > 0 && (b[at-1] >= 'a' && b[at-1] <= 'z' && !code) {
			return finding{}, no
		}
		from := at + len(literal)
		if from == len(b) && !final {
			return finding{}, unsure
		}
		if from < len(b) && (b[from] == '"' || b[from] == '\'') {
			from++
		}
		hi := assignedValue.run(b[:min(len(b), from+maxAssigned)], from)
		open := hi == len(b) && !final && hi-from < maxAssigned
		switch v := b[from:hi]; {
		case open:
			return finding{}, unsure
		case len(v) < leastAssigned, plainValue(v), v[0] == '/', numbers.all(v), different(v) < fewestBytes, code && count(numbers, v) == 0:
			return finding{}, no
		}
		f := finding{lo: from, hi: hi}
		if hi-from == maxAssigned {
			f.over = &overrun{run: assignedValue}
		}
		return f, yes
	}}
}

func different(v []byte) (n int) {
	var seen class
	for _, c := range v {
		if !seen[c] {
			seen[c] = true
			n++
		}
	}
	return n
}
