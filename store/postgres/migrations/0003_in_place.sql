-- Rows of up to a page stay in the table: from 2 KB on they were put into a second one, in pieces, each with an entry of an index, and whoever wrote such a row anew took the pieces of the old one away. A
-- project's config with ten secrets is 4 KB. What commits note of themselves is not tried to compress either: ids do not.
-- The records first: this waits for whoever vacuums them, and lets commits pass meanwhile.
ALTER TABLE {schema}.records SET (toast_tuple_target = 8160);
ALTER TABLE {schema}.commits SET (toast_tuple_target = 8160), ALTER COLUMN collections SET STORAGE EXTERNAL, ALTER COLUMN keys SET STORAGE EXTERNAL;
