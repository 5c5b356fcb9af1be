-- Lengths are held before rows are sent (store.CheckKey); a check of the server's is read from its text again for every commit: a fifth of what a small one costs it.
ALTER TABLE {schema}.records DROP CONSTRAINT records_collection_check, DROP CONSTRAINT records_key_check, DROP CONSTRAINT records_value_check;
ALTER TABLE {schema}.moment DROP CONSTRAINT moment_one_check;
