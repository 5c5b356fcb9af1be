package policy

import "sync"

// More programs that run, load or expand arguments, or say where a credential goes: what public lists of such programs (GTFOBins and its like) name beside those of
// runners, as far as a person may come to pin them. Interpreters and launchers stand in languages.
var (
	compiler = runner{opts: "-B -wrapper -specs -fplugin -Xclang -load -fuse-ld -specs= -fplugin= -fuse-ld= --specs --sysroot", loose: textOnly}
	versions = runner{opts: "-e --config --config-option --config-dir --cwd --ssh --remotecmd --diff-cmd --diff3-cmd --editor-cmd --merge-tool", text: "clone checkout switch relocate pull push import", first: true}
	hub      = runner{opts: "--hostname --repo", takes: "alias extension ext", first: true}
	backup   = runner{opts: "-o -r --repo --option --password-command --repository-file --password-file --rsh --remote-path --config --rclone-program --rclone-args --sftp-ssh --ssh-options --gpg-options --gpg-binary --rsync-options --http-proxy --webdav-bearer-token-command", loose: textOnly}
	cloud    = runner{opts: "--endpoint-url --profile --ca-bundle --cli-input-json --cli-input-yaml --configuration --flags-file --command --ssh-flag --account --impersonate-service-account --api-endpoint", loose: textOnly}
	maven    = runner{opts: "-f -D -P -s -gs -t -b -c -I -p -S -B -C -E --file --settings --define --build-file --init-script --project-dir --include-build --build --toolchain --preset --buildfile --lib", loose: anyLoose}
	tester   = runner{opts: "-p -c -r -R -o -f -D --require --rootdir --config --confcutdir --override-ini --import --preset --setupFiles --bootstrap --collection --search-root", loose: anyLoose, first: true}
	sqlShell = runner{opts: "-e -f -i -q -c -H -S --execute --file --command --query --host --cqlshrc --config", loose: anyLoose}
	fileFTP  = runner{opts: "-c -e -f -b -s -A --command --configfile", loose: anyLoose}
	browser  = runner{opts: "-config -cfg -o -cmd_script", loose: textOnly}
	hooks    = runner{opts: "-c --config --pre-hook --post-hook --deploy-hook --renew-hook --manual-auth-hook --manual-cleanup-hook --on-download-complete --on-bt-download-complete --on-download-start --on-download-stop --on-download-error --on-download-pause --conf-path -i --input-file --all-proxy --http-proxy --https-proxy", loose: textOnly}
	document = runner{opts: "-F -L -d --filter --lua-filter --pdf-engine --pdf-engine-opt --defaults --template --metadata-file --data-dir", loose: textOnly}
	office   = runner{opts: "-b -P -e -r -pdflatex -latex -env --batch --python --python-expr --actions --infilter --batch-interpreter", loose: textOnly}
	metadata = runner{opts: "-config -if -@ -p -api -userParam -fileNUM", loose: textOnly, words: true}
	vpn      = runner{opts: "--up --down --route-up --route-pre-down --ipchange --client-connect --client-disconnect --tls-verify --auth-user-pass-verify --learn-address --plugin --config --iproute --tls-export-cert --management", loose: anyLoose}
	unit     = runner{opts: "-H -M -p --host --machine --root --image --property", takes: "link edit set-environment import-environment", loose: textOnly}
	network  = runner{opts: "-b -batch -B -force", takes: "exec vrf"}
	manage   = runner{opts: "-c -e -f --connect --command --execute --modulepath --custom-dir --external-dir --config --logdest", loose: anyLoose, first: true}
	server   = runner{opts: "-c -f -C -g -p -d -k", loose: anyLoose}
	debugFS  = runner{opts: "-R -f -i", loose: anyLoose}
	exploit  = runner{opts: "-x -r -c --os-cmd --eval --alert --config", loose: textOnly}
	system   = runner{opts: "-o -c -E -D -r --option --config --setopt --root --installroot --repofrompath --hookdir --dbpath --repository --allow-untrusted", starts: "run", loose: textOnly}
	gui      = runner{takes: "exec behave", first: true}
)

// moreRunners by the program's base name.
var moreRunners = sync.OnceValue(func() map[string]runner {
	return map[string]runner{
		"gcc": compiler, "g++": compiler, "cc": compiler, "c++": compiler, "c89": compiler, "c99": compiler, "clang": compiler, "clang++": compiler, "gfortran": compiler, "ld": {opts: "-plugin --plugin -T --script -dynamic-linker", loose: textOnly},
		"svn": versions, "hg": versions, "bzr": versions, "cvs": versions, "fossil": versions, "gh": hub, "glab": hub, "restic": backup, "borg": backup, "rclone": backup, "duplicity": backup,
		"aws": cloud, "gcloud": cloud, "gsutil": cloud, "az": cloud, "mvn": maven, "gradle": maven, "gradlew": maven, "ant": maven, "sbt": maven, "cmake": maven, "meson": maven, "bazel": maven,
		"pytest": tester, "tox": tester, "nox": tester, "rspec": tester, "jest": tester, "mocha": tester, "phpunit": tester, "fab": tester, "invoke": tester, "ctest": tester,
		"cqlsh": sqlShell, "sqlplus": sqlShell, "isql": sqlShell, "tsql": sqlShell, "snowsql": sqlShell, "mycli": sqlShell, "pgcli": sqlShell, "usql": sqlShell, "bconsole": sqlShell, "tdbtool": sqlShell,
		"lftp": fileFTP, "ftp": fileFTP, "ncftp": fileFTP, "psftp": fileFTP, "smbclient": fileFTP, "telnet": {loose: textOnly}, "w3m": browser, "links": browser, "lynx": browser, "elinks": browser,
		"certbot": hooks, "aria2c": hooks, "pandoc": document, "gimp": office, "blender": office, "inkscape": office, "soffice": office, "libreoffice": office, "latexmk": office, "exiftool": metadata,
		"openvpn": vpn, "systemctl": unit, "ip": network, "puppet": manage, "knife": manage, "facter": manage, "vagrant": manage, "virsh": manage, "salt": manage, "salt-call": manage, "nginx": server,
		"apache2ctl": server, "apachectl": server, "httpd": server, "haproxy": server, "debugfs": debugFS, "sqlmap": exploit, "msfconsole": exploit, "wireshark": sniffer, "dnf": system, "yum": system,
		"zypper": system, "aptitude": system, "apk": system, "pacman": system, "pkg": system, "opkg": system, "snap": system, "flatpak": system, "xdotool": gui, "cpan": packages, "easy_install": packages,
		"zip": {opts: "-T -TT --unzip-command -@", loose: textOnly}, "sort": {opts: "--compress-program --files0-from"}, "split": {opts: "--filter"}, "install": {opts: "--strip-program"}, "sshfs": secure, "ssh-copy-id": secure,
		"cowsay": {opts: "-f"}, "cowthink": {opts: "-f"}, "sysctl": {opts: "-w -p --load", first: true}, "busctl": {opts: "-H -M --host --machine --address", loose: anyLoose, first: true}, "gdbus": whole, "dbus-send": whole,
		"at": whole, "batch": whole, "vipw": whole, "vigr": whole, "visudo": whole, "update-alternatives": whole, "logrotate": whole, "run-mailcap": whole, "byebug": whole, "crash": whole, "msgfilter": whole, "msgexec": whole,
		"gnuplot": whole, "dtrace": whole, "stap": whole, "bpftrace": whole, "mount": {opts: "-o -t", loose: textOnly}, "hyperfine": {opts: "-S -p -c -s --shell --prepare --cleanup --setup --conclude", loose: anyLoose, first: true},
	}
})
