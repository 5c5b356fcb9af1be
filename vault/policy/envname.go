package policy

import (
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

var envShape = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// Names that steer a loader, a shell, an interpreter, a tool's configuration or the run itself (threat-model.md 23). Compared in upper case: Windows
// does not tell case apart, and http_proxy means the same as HTTP_PROXY.
var (
	reservedNames = lazyNames(`PATH ENV IFS CDPATH SHELL SHELLOPTS PS1 PS2 PS4 PROMPT_COMMAND HOME USER LOGNAME USERNAME HOSTNAME PWD OLDPWD TERM TERMCAP
		TERMINFO TMPDIR TMP TEMP TZ LANG LANGUAGE EDITOR VISUAL PAGER MANPAGER BROWSER HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY FTP_PROXY REQUEST_METHOD
		CURLOPT_PROXY REQUESTS_CA_BUNDLE JDK_JAVA_OPTIONS JAVA_OPTS CLASSPATH GEM_HOME GEM_PATH LUA_INIT LUA_PATH LUA_CPATH PHPRC PHP_INI_SCAN_DIR GOFLAGS GOPROXY
		GOTOOLCHAIN GODEBUG GOTRACEBACK MAKEFLAGS MAKE CC CXX CFLAGS LOCPATH NLSPATH HOSTALIASES RES_OPTIONS LOCALDOMAIN KUBECONFIG PGSYSCONFDIR PGSERVICEFILE
		MYSQL_HOME AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE COMSPEC PATHEXT WINDIR SYSTEMROOT SYSTEMDRIVE APPDATA LOCALAPPDATA PROGRAMDATA USERPROFILE
		PSMODULEPATH NODE TAR_OPTIONS GREP_OPTIONS RSYNC_RSH VIMINIT EXINIT INPUTRC WGETRC NETRC PROXY ZDOTDIR FPATH POSIXLY_CORRECT
		SSH_AUTH_SOCK SSH_AGENT_PID SSH_CONFIG NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_REPL_EXTERNAL_MODULE LESS
		LESSOPEN LESSCLOSE DOCKER_HOST DOCKER_CONFIG DOCKER_CONTEXT DOCKER_CERT_PATH COMPOSE_FILE COMPOSE_ENV_FILES CARGO_HOME PERLLIB PERL_LIB JAVA_TOOL_OPTIONS _`)
	reservedHeads = []string{
		"LD_", "DYLD_", "PYTHON", "PERL5", "RUBY", "GIT_", "NPM_CONFIG_", "BASH_", "ZAVHOZ_", "GCONV_", "MALLOC_", "GLIBC_", "BUNDLE_", "CARGO_BUILD_",
		"CARGO_TARGET_", "RUSTC_", "SSL_CERT_", "_JAVA_", "SSH_ASKPASS", "SUDO_", "XDG_", "LC_", "DOTNET_", "CORECLR_", "COR_", "ANSIBLE_", "KUBECTL_",
		"SYSTEMD_", "DBUS_", "CURL_", "OPENSSL_", "GIO_", "QT_", "GTK_",
	}
)

// lazyNames is a set of the words of a text, made at the first use: most starts of the program never ask.
func lazyNames(words string) func() map[string]bool {
	return sync.OnceValue(func() map[string]bool {
		set := map[string]bool{}
		for _, n := range strings.Fields(words) {
			set[n] = true
		}
		return set
	})
}

// EnvNameAllowed tells whether a resource, an attribute or a caller may set the variable: a portable name that is none of those that steer
// the loader, a shell, an interpreter or the run.
func EnvNameAllowed(name string) bool {
	if !envShape.MatchString(name) {
		return false
	}
	up := strings.ToUpper(name)
	if reservedNames()[up] {
		return false
	}
	for _, head := range reservedHeads {
		if strings.HasPrefix(up, head) {
			return false
		}
	}
	return true
}

// Names that a tool takes its own options, programs, authorities or settings from, beyond those above: nobody may set them for a command by way of a definition that an
// agent, or a repository, wrote. A pinned command that holds every value of a project would run what such a variable says (threat-model.md 23).
var (
	steeringNames = lazyNames(`BASHOPTS PGHOSTADDR PGPASSFILE PGSSLROOTCERT PGSSLCERT PGSSLKEY PGSSLMODE PGREQUIRESSL PGSERVICE PGTARGETSESSIONATTRS PGLOADBALANCEHOSTS PGREALM PGLOCALEDIR JAVA_HOME JRE_HOME JDK_HOME M2_HOME
		GOPATH GOROOT GOBIN GOENV GOWORK GOEXPERIMENT GOSUMDB GONOSUMDB GOINSECURE GOPRIVATE GOVCS GOAUTH GCCGO ANT_HOME KOTLIN_HOME SCALA_HOME CATALINA_BASE CATALINA_HOME LD LIBPATH SHLIB_PATH MANPATH INFOPATH ASAN_SYMBOLIZER_PATH
		AWS_EC2_METADATA_SERVICE_ENDPOINT AWS_CREDENTIAL_FILE BOTO_CONFIG GCE_METADATA_HOST AZURE_CONFIG_DIR MAKEFILES MAKEOVERRIDES GNUMAKEFLAGS SSLKEYLOGFILE SSH MYSQL_UNIX_PORT MYSQL_TEST_LOGIN_FILE
		REDISCLI_HISTFILE HISTFILE WATCHMAN_SOCK PWDEBUG PUPPETEER_EXECUTABLE_PATH CHROME_PATH NOSYSTEMD_PAGER KUBE_EDITOR DIFFPROG SOCKS_PROXY PGPASS PROMPT_DIRTRIM PROMPT
		GNUPGHOME CONDA_SSL_VERIFY HEX_CACERTS_PATH HEX_MIRROR MIX_HOME MIX_EXS YARN_RC_FILENAME YARN_IGNORE_PATH YARN_PLUGINS YARN_HTTPS_CA_FILE_PATH NODE_V8_COVERAGE NODE_ICU_DATA NODE_USE_ENV_PROXY NODE_USE_SYSTEM_CA
		PYTHONHTTPSVERIFY RUSTUP_TOOLCHAIN RUSTUP_DIST_SERVER`)
	steeringHeads = []string{"TF_CLI_", "ERL_", "ELIXIR_ERL_", "MAVEN_", "GRADLE_", "SBT_", "PIP_", "UV_", "DENO_", "BUN_", "R_PROFILE", "R_ENVIRON", "R_LIBS", "HGRC", "HGEDITOR", "HGMERGE", "SVN_", "CVS_", "PERL", "PHP_",
		"AWS_CONFIG_", "CLOUDSDK_", "CARGO_HTTP_", "CARGO_ALIAS_", "CARGO_NET_", "NIX_", "WEBSOCKET_CLIENT_CA_", "HTTPLIB2_"}
	steeringTails = []string{"_OPTS", "OPTIONS", "FLAGS", "_ARGS", "RC", "_RC", "_RC_FILE", "RCFILE", "RCPATH", "_SSH", "_SSH_COMMAND", "_RSH", "_ASKPASS", "_PROXY", "_CERT", "_CERTS", "_CERT_FILE", "_CA_BUNDLE", "_CA_FILE", "_CAFILE",
		"_CACERT", "_CACERTS", "_CAINFO", "_CAPATH", "_CONFIG_FILE", "_CONFIG_PATH", "_CONFIG_DIR", "_PRELOAD", "_STARTUP", "_INIT_FILE", "_PAGER", "_EDITOR", "_PLUGIN_PATH", "_LIBRARY_PATH", "_INCLUDE_PATH", "KEYLOGFILE", "_EXTRA_INDEX_URL", "_INDEX_URL", "_DEFAULT_SSL_ROOTS_FILE_PATH"}
	// harmlessNames have the shape and are what programs commonly call something of their own.
	harmlessNames = lazyNames(`FEATURE_FLAGS UV_PUBLISH_TOKEN`)
)

// ProjectNameAllowed tells whether a project's environment may have the variable: EnvNameAllowed, and none that a tool takes options, programs or authorities from. It
// is stricter because who writes the definition of an environment is not the person who lets a command hold it.
func ProjectNameAllowed(name string) bool {
	up := strings.ToUpper(name)
	switch {
	case !EnvNameAllowed(name) || steeringNames()[up]:
		return false
	case harmlessNames()[up]:
		return true
	}
	for _, head := range steeringHeads {
		if strings.HasPrefix(up, head) {
			return false
		}
	}
	for _, tail := range steeringTails {
		if strings.HasSuffix(up, tail) {
			return false
		}
	}
	return true
}
