package wire

// maxAnswer is the length in bytes of the longest answer that is looked into: what a person pressed is one short word.
const maxAnswer = 64 << 10

var (
	elicitKeys = keys("elicitation")
	modeKeys   = keys("form", "url")
	actionKeys = keys("action")
)

// Elicits tells what a client's capabilities, raw, say of putting something to its person: as a form, and as the address of a page. An empty declaration means forms.
// What cannot be read in one way alone declares nothing.
func Elicits(caps []byte) (form, url bool) {
	var c [1][]byte
	if !isObject(caps) || !pick(caps, elicitKeys, c[:], false) || !isObject(c[0]) {
		return false, false
	}
	var m [2][]byte
	if !pick(c[0], modeKeys, m[:], false) {
		return false, false
	}
	return isObject(m[0]) || m[0] == nil && m[1] == nil, isObject(m[1])
}

// Action gives what a person did with what was put to them, from the raw result of an elicitation: accept, decline or cancel; "" for anything else. Whatever else the
// answer holds is not looked at.
func Action(result []byte) string {
	var a [1][]byte
	if len(result) > maxAnswer || !isObject(result) || !pick(result, actionKeys, a[:], false) {
		return ""
	}
	switch s := string(Text(a[0])); s {
	case "accept", "decline", "cancel":
		return s
	}
	return ""
}

// ActionOf is Action for one of several answers: those that a modern call brings along, by their keys.
func ActionOf(responses []byte, key string) string {
	var r [1][]byte
	if len(responses) > maxAnswer || !isObject(responses) || !pick(responses, keys(key), r[:], false) {
		return ""
	}
	return Action(r[0])
}

func isObject(raw []byte) bool { return len(raw) > 0 && raw[0] == '{' }
