package egress

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"slices"
)

// systemBundles is where systems keep their roots in one file: Debian and Alpine, Red Hat, SUSE, Arch and Fedora's extracted form, BSD and old OpenSSL.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
	"/etc/pki/tls/cacert.pem",
}

// SystemBundles gives the files of that sort which this machine has: a run sees its own bundle in their place.
func SystemBundles() []string {
	return slices.DeleteFunc(slices.Clone(systemBundles), func(path string) bool {
		s, err := os.Stat(path)
		return err != nil || !s.Mode().IsRegular()
	})
}

// maxBundle bounds what is read of a system's roots, in bytes.
const maxBundle = 8 << 20

// errNotPEM says that the run's authority was given in another form.
var errNotPEM = errors.New("egress: the authority is not PEM")

// Bundle gives the run's authority and after it the system's roots, in PEM: pass-through hosts show their own certificates. A machine without roots gets the
// authority alone.
func Bundle(ca []byte) ([]byte, error) {
	if b, _ := pem.Decode(ca); b == nil || b.Type != "CERTIFICATE" {
		return nil, errNotPEM
	}
	out := slices.Clone(ca)
	for _, path := range systemBundles {
		roots, err := os.ReadFile(path)
		if err == nil && len(roots) <= maxBundle && bytes.Contains(roots, []byte("-----BEGIN CERTIFICATE-----")) {
			return append(append(out, '\n'), roots...), nil
		}
	}
	return out, nil
}
