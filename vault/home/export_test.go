package home

// Syncing gives o with another way to make the names in a folder durable.
func Syncing(o InitOptions, sync func(folder string) error) InitOptions {
	o.sync = sync
	return o
}
