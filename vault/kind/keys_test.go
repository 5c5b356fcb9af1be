package kind_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

const passphrase = "canary passphrase"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })

func text(b *pem.Block) string { return string(pem.EncodeToMemory(b)) }

func rsaPEM(testing.TB) string {
	return text(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey())})
}

func pkcs8PEM(key any) string {
	return text(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
}

var edKey = sync.OnceValue(func() ed25519.PrivateKey { _, k, err := ed25519.GenerateKey(rand.Reader); return must(k, err) })

func ed25519Key(testing.TB) string { return text(must(ssh.MarshalPrivateKey(edKey(), "me@laptop"))) }

var lockedKey = sync.OnceValue(func() string {
	return text(must(ssh.MarshalPrivateKeyWithPassphrase(edKey(), "", []byte(passphrase))))
})

func ecPEM(testing.TB) string {
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	return text(&pem.Block{Type: "EC PRIVATE KEY", Bytes: must(x509.MarshalECPrivateKey(k))})
}

func legacyLocked() string {
	//lint:ignore SA1019 the old form is what people have, and what is tested
	b := must(x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()), []byte(passphrase), x509.PEMCipherAES256))
	return text(b)
}

func publicKey() string {
	return string(ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(edKey().Public()))))
}
