package quick

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// maxSocket is the longest path of a socket, in bytes: home's rule.
const maxSocket = 100

// socket is the operator's socket by the rules of package home, which is too heavy to ask; TestSocketAgreesWithHome holds the two together. false where
// home would say more about what is wrong.
func socket(getenv func(string) string) (string, bool) {
	root := getenv("ZAVHOZ_HOME")
	if root == "" {
		data := getenv("XDG_DATA_HOME")
		if runtime.GOOS == "darwin" || !filepath.IsAbs(data) {
			h := getenv("HOME")
			if !filepath.IsAbs(h) {
				return "", false
			}
			data = filepath.Join(h, ".local", "share")
			if runtime.GOOS == "darwin" {
				data = filepath.Join(h, "Library", "Application Support")
			}
		}
		root = filepath.Join(data, "zavhoz")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", false
	}
	if s := filepath.Join(root, "run", "operator.sock"); len(s) <= maxSocket {
		return s, true
	}
	h := sha256.Sum256([]byte(root))
	return filepath.Join("/tmp", fmt.Sprintf("zavhoz-%d-%s", os.Getuid(), hex.EncodeToString(h[:8])), "operator.sock"), true
}
