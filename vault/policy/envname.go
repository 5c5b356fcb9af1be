package policy

import (
	"strings"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

var envShape = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// Names that steer a loader, a shell, an interpreter, a tool's configuration or the run itself (threat-model.md 23). Compared in upper case: Windows
// does not tell case apart, and http_proxy means the same as HTTP_PROXY.
var (
	reservedNames = map[string]bool{}
	reservedHeads = []string{
		"LD_", "DYLD_", "PYTHON", "PERL5", "RUBY", "GIT_", "NPM_CONFIG_", "BASH_", "ZAVHOZ_", "GCONV_", "MALLOC_", "GLIBC_", "BUNDLE_", "CARGO_BUILD_",
		"CARGO_TARGET_", "RUSTC_", "SSL_CERT_", "_JAVA_", "SSH_ASKPASS", "SUDO_", "XDG_", "LC_", "DOTNET_", "CORECLR_", "COR_", "ANSIBLE_", "KUBECTL_",
		"SYSTEMD_", "DBUS_", "CURL_", "OPENSSL_", "GIO_", "QT_", "GTK_",
	}
)

func init() {
	for _, n := range strings.Fields(`PATH ENV IFS CDPATH SHELL SHELLOPTS PS1 PS2 PS4 PROMPT_COMMAND HOME USER LOGNAME USERNAME HOSTNAME PWD OLDPWD TERM TERMCAP
		TERMINFO TMPDIR TMP TEMP TZ LANG LANGUAGE EDITOR VISUAL PAGER MANPAGER BROWSER HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY FTP_PROXY REQUEST_METHOD
		CURLOPT_PROXY REQUESTS_CA_BUNDLE JDK_JAVA_OPTIONS JAVA_OPTS CLASSPATH GEM_HOME GEM_PATH LUA_INIT LUA_PATH LUA_CPATH PHPRC PHP_INI_SCAN_DIR GOFLAGS GOPROXY
		GOTOOLCHAIN GODEBUG GOTRACEBACK MAKEFLAGS MAKE CC CXX CFLAGS LOCPATH NLSPATH HOSTALIASES RES_OPTIONS LOCALDOMAIN KUBECONFIG PGSYSCONFDIR PGSERVICEFILE
		MYSQL_HOME AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE COMSPEC PATHEXT WINDIR SYSTEMROOT SYSTEMDRIVE APPDATA LOCALAPPDATA PROGRAMDATA USERPROFILE
		PSMODULEPATH NODE TAR_OPTIONS GREP_OPTIONS RSYNC_RSH VIMINIT EXINIT INPUTRC WGETRC NETRC PROXY ZDOTDIR FPATH POSIXLY_CORRECT
		SSH_AUTH_SOCK SSH_AGENT_PID SSH_CONFIG NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_REPL_EXTERNAL_MODULE LESS
		LESSOPEN LESSCLOSE DOCKER_HOST DOCKER_CONFIG DOCKER_CONTEXT DOCKER_CERT_PATH COMPOSE_FILE COMPOSE_ENV_FILES CARGO_HOME PERLLIB PERL_LIB JAVA_TOOL_OPTIONS _`) {
		reservedNames[n] = true
	}
}

// EnvNameAllowed tells whether a resource, an attribute or a caller may set the variable: a portable name that is none of those that steer
// the loader, a shell, an interpreter or the run.
func EnvNameAllowed(name string) bool {
	if !envShape.MatchString(name) {
		return false
	}
	up := strings.ToUpper(name)
	if reservedNames[up] {
		return false
	}
	for _, head := range reservedHeads {
		if strings.HasPrefix(up, head) {
			return false
		}
	}
	return true
}
