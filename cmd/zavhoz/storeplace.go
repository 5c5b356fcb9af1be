package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// databaseVariable says where the vault is for a home that does not: one without vault.db and without a file `store`.
const databaseVariable = "DATABASE_URL"

// maxStore is the largest file that names a database, in bytes.
const maxStore = 8 << 10

// vaultPlace is where a vault is: in a file, or in a database.
type vaultPlace struct {
	file string
	pg   *postgres.Options
	spec string // as it was given
}

// String names it for people, without a user or a password.
func (p vaultPlace) String() string {
	if p.pg != nil {
		return p.pg.Place()
	}
	return p.file
}

// kind is what an audit record calls it.
func (p vaultPlace) kind() string {
	if p.pg != nil {
		return "postgres"
	}
	return "bolt"
}

func (a *app) registerStore(c *cobra.Command) {
	c.Flags().StringVar(&a.storeFlag, "store", "", "where the vault is: postgres://USER@HOST/DATABASE, file:FILE or env:NAME that holds such an address, or bolt:FILE (default: as the home says)")
}

// spec gives where the vault of a home is. A vault's file comes before DATABASE_URL, which many other programs set.
func (a *app) spec(dir home.Dir) string {
	if a.storeFlag != "" {
		return a.storeFlag
	}
	if _, err := os.Lstat(dir.Store()); err == nil {
		return "file:" + dir.Store()
	}
	if _, err := os.Lstat(dir.Vault()); errors.Is(err, fs.ErrNotExist) && isPostgres(os.Getenv(databaseVariable)) {
		return "env:" + databaseVariable
	}
	return "bolt:" + dir.Vault()
}

func (a *app) isAway(dir home.Dir) bool { return !strings.HasPrefix(a.spec(dir), "bolt:") }

// place reads where the vault of a home is.
func (a *app) place(dir home.Dir) (vaultPlace, error) {
	spec := a.spec(dir)
	if file, ok := strings.CutPrefix(spec, "bolt:"); ok && file != dir.Vault() {
		return vaultPlace{}, fault.New(fault.InvalidArgument, "a home's own vault is its vault.db, or in a database", "leave --store out, or choose another home: --home FOLDER")
	}
	return placeOf(spec)
}

func isPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// placeOf reads bolt:FILE, an address, or file: and env: that hold one. A password in an address on the command line is refused: every process sees it.
func placeOf(spec string) (p vaultPlace, err error) {
	p.spec = spec
	kind, rest, _ := strings.Cut(spec, ":")
	address := spec
	switch {
	case kind == "bolt" && rest != "":
		p.file = rest
		return p, nil
	case isPostgres(spec):
		if postgres.HasPassword(spec) {
			return p, fault.New(fault.SecretInArgv, "the address holds a password, and every process of this machine sees it on a command line", "put the address into a file (chmod 600) and say file:FILE, or env:NAME, or the password into PGPASSFILE")
		}
	case kind == "file" && rest != "":
		if address, err = storeFile(rest); err != nil {
			return p, err
		}
	case kind == "env" && rest != "":
		if address = os.Getenv(rest); address == "" {
			return p, fault.New(fault.InvalidArgument, "the variable "+home.Quote(rest)+" is not set", "set it to the database's address")
		}
	default:
		return p, fault.New(fault.InvalidArgument, "a store is bolt:FILE, postgres://…, file:FILE or env:NAME", "for example bolt:/srv/zavhoz/vault.db, or postgres://zavhoz@db.example/zavhoz?sslmode=verify-full")
	}
	if !isPostgres(address) {
		return p, fault.New(fault.InvalidArgument, "what "+home.Quote(spec)+" holds is not the address of a PostgreSQL database", "it begins with postgres://")
	}
	o, err := postgres.Address(address)
	if errors.Is(err, postgres.ErrExposed) {
		return p, fault.New(fault.InvalidArgument, "the way to the database leaves this machine, and its certificate is not verified: who is on it could take its place and the password", "say sslmode=verify-full (and sslrootcert=FILE) in its address; where the way is safe for another reason, zavhoz_insecure=yes: see docs/postgresql.md").Because(err)
	}
	if err != nil {
		return p, fault.New(fault.InvalidArgument, "the database's address cannot be read, or names a file that cannot", "see docs/postgresql.md").Because(err)
	}
	p.pg = &o
	return p, nil
}

// storeFile reads a file that holds an address. One with a password is its owner's alone.
func storeFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fault.New(fault.InvalidArgument, "the file "+home.Quote(name)+" cannot be read", "it holds the database's address").Because(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return "", fault.New(fault.InvalidArgument, home.Quote(name)+" is not a file", "it holds the database's address").Because(err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxStore+1))
	if err != nil || len(b) > maxStore {
		return "", fault.New(fault.InvalidArgument, "the file "+home.Quote(name)+" cannot be read, or is too large", "it holds the database's address").Because(err)
	}
	address := strings.TrimSpace(string(b))
	if named, ok := strings.CutPrefix(address, "env:"); ok {
		if address = os.Getenv(named); address == "" {
			return "", fault.New(fault.InvalidArgument, "the variable "+home.Quote(named)+", which "+home.Quote(name)+" names, is not set", "set it to the database's address")
		}
		return address, nil
	}
	if postgres.HasPassword(address) && wider(st) {
		return "", fault.New(fault.KeyFileExposed, "the file "+home.Quote(name)+" holds a password, and others can read it", "chmod 600 "+home.Quote(name))
	}
	return address, nil
}

// databaseEnv is what of this process's environment says where the vault of a home is, and opens the way there.
func databaseEnv(dir home.Dir) (out []string) {
	if !dir.IsAway() {
		return nil
	}
	named := databaseVariable
	if b, err := os.ReadFile(dir.Store()); err == nil {
		named, _ = strings.CutPrefix(strings.TrimSpace(string(b)), "env:")
	}
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); name == named || strings.HasPrefix(name, "PG") {
			out = append(out, entry)
		}
	}
	return out
}

// servedStore is a database's store with the lock of the home that serves it.
type servedStore struct {
	*postgres.Store
	lock io.Closer
}

func (s servedStore) Close() error { return errors.Join(s.Store.Close(), s.lock.Close()) }

// serve opens it for a daemon: beside others where it is a database, which may not be behind the mark, alone where it is a file.
func (p vaultPlace) serve(ctx context.Context, dir home.Dir, log *slog.Logger, mark string) (store.Store, error) {
	if p.pg == nil {
		st, err := bolt.Open(ctx, bolt.Options{Path: dir.Vault(), LockTimeout: busyTimeout})
		if err != nil {
			return nil, vault.StoreFault(err)
		}
		return st, nil
	}
	lock, err := hold(dir.Holder())
	if err != nil {
		return nil, fault.New(fault.VaultBusy, "another daemon serves from this home", "stop it with `zavhoz stop`, then try again").Because(err)
	}
	o := *p.pg
	o.Log, o.Mark = log, mark
	if why, err := o.Exposure(); err == nil && why != "" {
		log.Warn(why)
	}
	st, err := openInhabited(ctx, o)
	if err != nil {
		lock.Close()
		return nil, err
	}
	if open, err := st.Public(ctx); err == nil && open {
		log.Warn("every role of the database server may connect to the vault's database, and could keep daemons from starting: REVOKE CONNECT ON DATABASE … FROM PUBLIC (docs/postgresql.md)")
	}
	if stalls, err := st.Stalls(ctx); err == nil && stalls {
		log.Warn("the database's server is older than PostgreSQL 14: where several daemons serve the vault, one that leads and stands still keeps the others from leading (docs/postgresql.md)")
	}
	return servedStore{st, lock}, nil
}

// openInhabited is openDatabase for a vault that should be there.
func openInhabited(ctx context.Context, o postgres.Options) (*postgres.Store, error) {
	st, err := openDatabase(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := vault.Header(ctx, st); errors.Is(err, store.ErrNotFound) {
		st.Close()
		return nil, databaseFault(fs.ErrNotExist)
	}
	return st, nil
}

// openDatabase opens tables that are there; those of an earlier format are read as they are, and migrated for who writes, where the role may.
func openDatabase(ctx context.Context, o postgres.Options) (*postgres.Store, error) {
	st, err := postgres.Open(ctx, o)
	if postgres.Behind(err) && !o.ReadOnly {
		switch _, perr := postgres.Prepare(ctx, o, ""); {
		case perr == nil:
			st, err = postgres.Open(ctx, o)
		case !errors.Is(perr, store.ErrDenied): // else it says who may: the tables' owner
			err = perr
		}
	}
	return st, databaseFault(err)
}

// look opens it for reading, beside whoever has a database open, which may not be behind the mark.
func (p vaultPlace) look(ctx context.Context, mark string) (store.Store, error) {
	if p.pg == nil {
		st, err := bolt.Open(ctx, bolt.Options{Path: p.file, LockTimeout: busyTimeout})
		return st, vault.StoreFault(err)
	}
	o := *p.pg
	o.ReadOnly, o.Mark = true, mark
	return openInhabited(ctx, o)
}

// take opens it for this process alone, as the source of a copy; a database may not be behind the mark. Errors: not_initialized, vault_busy, record_tampered.
func (p vaultPlace) take(ctx context.Context, readOnly bool, mark string) (store.Store, error) {
	if p.pg == nil {
		return openSource(ctx, p.file, readOnly)
	}
	o := *p.pg
	o.ReadOnly, o.Exclusive, o.Mark = readOnly, true, mark
	return openInhabited(ctx, o)
}

// target opens it for this process alone, to be filled; made tells that it was not there before and is a file.
func (p vaultPlace) target(ctx context.Context) (st store.Store, made bool, err error) {
	if p.pg == nil {
		return openTarget(ctx, p.file)
	}
	o := *p.pg
	o.Exclusive = true
	pg, err := postgres.Create(ctx, o)
	if err != nil {
		return nil, false, databaseFault(err)
	}
	return pg, false, nil
}

// vacant opens the database of a new vault for this process alone, and makes its tables; a role may be given what a daemon needs of them.
func (p vaultPlace) vacant(ctx context.Context, grantTo string) (*postgres.Store, error) {
	st, err := p.look(ctx, "")
	if err == nil { // served, perhaps: then nobody has it alone
		return nil, errors.Join(errInhabited, st.Close())
	}
	if postgres.Behind(err) { // of a format that cannot be looked into: to make its tables would migrate somebody's vault
		return nil, err
	}
	o := *p.pg
	o.Exclusive = true
	made, err := postgres.Create(ctx, o)
	if err != nil {
		return nil, databaseFault(err)
	}
	switch _, err = vault.Header(ctx, made); {
	case err == nil:
		err = errInhabited
	case errors.Is(err, store.ErrNotFound):
		err = p.grant(ctx, grantTo)
	}
	if err != nil {
		return nil, errors.Join(err, made.Close())
	}
	return made, nil
}

// grant gives a role what a daemon needs of the tables, and nothing else. "": none.
func (p vaultPlace) grant(ctx context.Context, role string) error {
	if role == "" {
		return nil
	}
	_, err := postgres.Prepare(ctx, *p.pg, role)
	return databaseFault(err)
}

// roleFor is a flag that names the role that will serve a vault, where another makes it.
type roleFor struct{ role string }

func (r *roleFor) register(c *cobra.Command) {
	c.Flags().StringVar(&r.role, "grant-to", "", "of a vault in PostgreSQL: a role of its server that gets what a daemon needs, and nothing else")
	_ = c.RegisterFlagCompletionFunc("grant-to", cobra.NoFileCompletions)
}

// check refuses a role where none can get anything, and an empty name: a variable that is not set.
func (r roleFor) check(c *cobra.Command, at vaultPlace) error {
	switch {
	case !c.Flags().Changed("grant-to"):
		return nil
	case at.pg == nil:
		return fault.New(fault.InvalidArgument, "--grant-to is for a vault in PostgreSQL", "leave it out, or name a database: docs/postgresql.md")
	case r.role == "":
		return fault.New(fault.InvalidArgument, "--grant-to names no role", "name the role that daemons will serve the vault as, or leave it out")
	}
	return nil
}

var errInhabited = fault.New(fault.AlreadyInitialized, "the database holds a vault already; nothing was changed",
	"serve it: docs/postgresql.md says what a replica's home needs; or name another schema: ?zavhoz_schema=NAME")

// remember writes what leads to the database: a variable that another program set later does not lead elsewhere unseen.
func (p vaultPlace) remember(file string) error {
	text := p.spec
	if name, ok := strings.CutPrefix(text, "file:"); ok {
		abs, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(abs)
		if err != nil {
			return err
		}
		text = strings.TrimSpace(string(b))
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// databaseFault says what a database's error means for whoever opens a vault there.
func databaseFault(err error) error {
	switch {
	case errors.Is(err, postgres.ErrOld):
		return fault.New(fault.NotSupported, "the database's server is older than PostgreSQL 13, or does not say", "upgrade it, or name another: docs/postgresql.md").Because(err)
	case errors.Is(err, postgres.ErrRole):
		return fault.New(fault.InvalidArgument, "the database's server has no role of the name that --grant-to says", "make it first: CREATE ROLE … LOGIN (docs/postgresql.md)").Because(err)
	case postgres.Behind(err):
		return fault.New(fault.VaultFormat, "the database's tables are of an earlier zavhoz", "start `zavhoz serve` once as the role that owns them, which migrates them: docs/postgresql.md").Because(err)
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.NotInitialized, "the database holds no vault", "make one: `zavhoz init --store …`; or copy one there: `zavhoz migrate --to …`").Because(err)
	case errors.Is(err, store.ErrBusy):
		return fault.New(fault.VaultBusy, "daemons serve the vault, or a command has it alone", "stop every daemon of it (zavhoz stop), then try again").Because(err)
	}
	return vault.StoreFault(err)
}
