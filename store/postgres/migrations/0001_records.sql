-- Records, sealed. Keys are bytes: text would refuse some of those that a store takes, and order others by language.
CREATE TABLE {schema}.records (
	collection text COLLATE "C" NOT NULL CHECK (octet_length(collection) BETWEEN 1 AND 32),
	key bytea NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 512),
	value bytea NOT NULL CHECK (octet_length(value) <= 16777216),
	seq bigint NOT NULL, -- of the commit that wrote it last
	PRIMARY KEY (collection, key)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- Ciphertext does not compress: do not try.
ALTER TABLE {schema}.records ALTER COLUMN value SET STORAGE EXTERNAL;

-- The newest commit: one row, which every commit moves.
CREATE TABLE {schema}.moment (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	format integer NOT NULL,
	seq bigint NOT NULL,
	batch uuid NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

INSERT INTO {schema}.moment (format, seq, batch) VALUES (1, 0, '00000000-0000-0000-0000-000000000000');

-- What the last commits changed, for a few minutes. keys is null where they were many: then all of the collections may have changed.
CREATE TABLE {schema}.commits (
	seq bigint PRIMARY KEY,
	batch uuid NOT NULL,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	collections text[] NOT NULL,
	keys bytea[]
);

INSERT INTO {schema}.commits (seq, batch, collections, keys) VALUES (0, '00000000-0000-0000-0000-000000000000', '{}', '{}');
