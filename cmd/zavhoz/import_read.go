package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/importer"
	"github.com/zavhoz/zavhoz/vault/sops"
)

// reading reads and opens the files of an import, in this process: the daemon never gets a person's identity.
type reading struct {
	a    *app
	f    importFlags
	ids  []age.Identity // once they were needed
	keys importer.FernetKeys
}

// all reads the files; clear names those that hold secrets in clear.
func (r *reading) all(ctx context.Context, files []string) (items []importer.Item, clear []string, err error) {
	for _, name := range files {
		got, format, err := r.file(ctx, name)
		if err != nil {
			importer.Wipe(items)
			return nil, nil, inFile(err, name)
		}
		for i := range got {
			got[i].Where = filepath.Base(name) + ": " + got[i].Where
		}
		if items = append(items, got...); format.Clear() && name != "-" {
			clear = append(clear, name)
		}
	}
	return items, clear, nil
}

// inFile says of which file an error is.
func inFile(err error, name string) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Code == fault.Canceled {
		return err
	}
	g := *f
	g.Message = home.Quote(filepath.Base(name)) + ": " + f.Message
	return &g
}

func (r *reading) file(ctx context.Context, name string) ([]importer.Item, importer.Format, error) {
	b, err := r.a.source(name)
	if err != nil {
		return nil, "", err
	}
	defer clear(b)
	format := importer.Format(r.f.format)
	if format == importer.Auto {
		format = importer.Detect(b)
	}
	if format == importer.Age {
		plain, err := r.openAge(ctx, b)
		if err != nil {
			return nil, "", err
		}
		defer clear(plain)
		inner := importer.Detect(plain)
		if inner == importer.Age {
			return nil, "", fault.New(fault.NotSupported, "within the age file is another", "open the outer one by itself")
		}
		items, err := r.content(ctx, name, plain, inner)
		return items, format, err
	}
	items, err := r.content(ctx, name, b, format)
	return items, format, err
}

// content reads what is in clear or SOPS's.
func (r *reading) content(ctx context.Context, name string, b []byte, format importer.Format) ([]importer.Item, error) {
	if !bytes.HasPrefix(b, []byte("PK\x03\x04")) {
		text, err := importer.Text(b)
		if err != nil {
			return nil, err
		}
		defer clear(text)
		if b = text; importer.Format(r.f.format) == importer.Auto {
			format = importer.Detect(b) // behind a byte order mark it looks like another
		}
	}
	switch format {
	case importer.SOPS:
		ids, err := r.identities(ctx)
		if err != nil {
			return nil, err
		}
		info, tree, err := sops.New(sops.Options{}).Open(ctx, name, b, ids)
		if err != nil {
			return nil, err
		}
		defer tree.Wipe()
		return importer.FromTree(tree, info.Format, "")
	case importer.Fernet:
		if err := r.fernetKeys(ctx); err != nil {
			return nil, err
		}
	}
	return importer.Read(b, importer.Options{Format: format, Keys: r.keys})
}

// source reads a file, a pipe or standard input, once and within the limit. What is neither is refused: a folder, a device.
func (a *app) source(name string) ([]byte, error) {
	f := a.stdin
	if name != "-" {
		var err error
		if f, err = os.Open(name); err != nil {
			text := "it cannot be read"
			if errors.Is(err, fs.ErrNotExist) {
				text = "there is no such file"
			}
			return nil, fault.New(fault.InvalidArgument, text, "check its name and rights").Because(err)
		}
		defer f.Close()
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() && st.Mode()&fs.ModeNamedPipe == 0 {
		return nil, fault.New(fault.InvalidArgument, "it is neither a file nor a pipe", "name a file, or pipe it into `zavhoz import -`").Because(err)
	}
	room := importer.MaxFile + 1
	if st.Mode().IsRegular() {
		room = int(min(st.Size(), importer.MaxFile)) + 1
	}
	b, err := readUpTo(f, room)
	if err != nil || len(b) > importer.MaxFile {
		clear(b)
		return nil, fault.New(fault.TooLarge, "it cannot be read, or is larger than 64 MiB", "import it in parts").Because(err)
	}
	return b, nil
}

// readUpTo reads up to room bytes into one buffer, which grows by wiped steps where the room is a pipe's.
func readUpTo(r io.Reader, room int) ([]byte, error) {
	b := make([]byte, 0, min(room, 1<<20))
	for {
		if len(b) == cap(b) {
			if len(b) >= room {
				return b, nil
			}
			larger := append(make([]byte, 0, min(room, 2*cap(b))), b...)
			clear(b)
			b = larger
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// identities are those that the person names; without any, those that sops itself would take, and this vault's.
func (r *reading) identities(ctx context.Context) ([]age.Identity, error) {
	if r.ids != nil {
		return r.ids, nil
	}
	for _, file := range r.f.identities {
		ids, err := r.a.identities(ctx, file)
		if err != nil {
			return nil, err
		}
		r.ids = append(r.ids, ids...)
	}
	if len(r.f.identities) > 0 {
		return r.ids, nil
	}
	for _, file := range r.a.usualIdentities() {
		if _, err := os.Stat(file); err != nil {
			continue
		}
		ids, err := r.a.identities(ctx, file)
		if err != nil {
			return nil, inFile(err, file)
		}
		r.ids = append(r.ids, ids...)
	}
	if len(r.ids) == 0 {
		return nil, fault.New(fault.WrongIdentity, "there is no identity to open the file with", "name one with --identity FILE")
	}
	return r.ids, nil
}

// usualIdentities are the places where an identity lies: the first of sops's, and the vault's.
func (a *app) usualIdentities() (out []string) {
	if file := os.Getenv("SOPS_AGE_KEY_FILE"); file != "" {
		out = append(out, file)
	} else if dir, err := os.UserConfigDir(); err == nil {
		out = append(out, filepath.Join(dir, "sops", "age", "keys.txt"))
	}
	if dir, err := a.dir(); err == nil {
		out = append(out, dir.Identity())
	}
	return out
}

func (r *reading) openAge(ctx context.Context, b []byte) ([]byte, error) {
	ids, err := r.identities(ctx)
	if err != nil {
		return nil, err
	}
	var in io.Reader = bytes.NewReader(b)
	if t := bytes.TrimLeft(b, " \t\r\n"); bytes.HasPrefix(t, []byte(armor.Header)) {
		in = armor.NewReader(bytes.NewReader(t))
	}
	plain, err := age.Decrypt(in, ids...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, fault.New(fault.WrongIdentity, "none of the identities opens it", "name another with --identity FILE").Because(err)
	}
	var out []byte
	if err == nil {
		out, err = readUpTo(plain, importer.MaxFile+1)
	}
	if err != nil || len(out) > importer.MaxFile {
		clear(out)
		return nil, fault.New(fault.InvalidArgument, "it is no whole age file, or larger than 64 MiB", "take it again from where it came").Because(err)
	}
	return out, nil
}

// fernetKeys reads the earlier system's key, or asks for it.
func (r *reading) fernetKeys(ctx context.Context) error {
	if len(r.keys) > 0 {
		return nil
	}
	var b []byte
	var err error
	switch {
	case r.f.key == "-":
		b, err = r.a.readFrom("-")
	case r.f.key != "":
		b, err = r.a.readFrom("@" + r.f.key)
	default:
		tty, done, ok := r.a.terminal()
		if !ok {
			return fault.New(fault.SecretMissing, "a Fernet export opens with its key alone", "give the file of the key with --key")
		}
		defer done()
		s, aerr := r.a.askSecret(ctx, tty, "Fernet key of the earlier system: ")
		if aerr != nil {
			return aerr
		}
		defer s.Wipe()
		r.keys, err = importer.ParseFernetKeys(s.Reveal())
		return err
	}
	if err != nil {
		return err
	}
	defer clear(b)
	r.keys, err = importer.ParseFernetKeys(b)
	return err
}
