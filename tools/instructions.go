package tools

// Instructions teach a model the order of calls, in under 2 KB.
const Instructions = `Zavhoz keeps credentials and servers and lets you use them by handle. You never see a secret value, and you never need one.

Order of calls:
1. list_resources: what you may use, what each is for, which commands are pinned.
2. allocate_resource {handle or kind, purpose}: a lease (lease_id, expiry). A bare handle also works for a single call.
3. run_with_resource {resources, command}: command is argv. It runs in a sandbox where each resource's variables hold a placeholder; the true value takes its place only on the way to that resource's hosts, and other hosts are refused (denials). Use curl, git, python, node, ssh HANDLE, psql "$DATABASE_URL" as usual.
   http_request_with_resource makes one request without any command.
4. release_resource {lease_id} when the work is done.

Long work: background:true, then get_run with next_offset, or stop_run.
A project's whole environment: resolve_environment gives a handle for runs; list_project_secrets names its secrets.
A secret or a resource is missing: request_secret asks a person for it; call it again to learn how it stands.
Servers by capacity: list_managed_servers.
Refused? The error has a code and the next step. Where a person is needed, show them the command they would type; do not try to work around it. get_status tells what runs here.

[redacted:…] in output stands for a secret value. Do not ask anyone to paste a secret into this conversation: the operator gives it to zavhoz on their own terminal.`
