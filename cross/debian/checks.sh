# Run inside the container by test.sh: from the first installation to the last trace.
set -eu
export DEBIAN_FRONTEND=noninteractive
service=densight-camera@camera

ok() {
    what=$1
    shift
    if "$@"; then
        echo "ok: $what"
    else
        echo "FAILED: $what"
        systemctl status $service --no-pager || true
        journalctl -u $service --no-pager | tail -n 30
        exit 1
    fi
}
# soon SECONDS COMMAND...: within that time it succeeds.
soon() {
    left=$1
    shift
    until "$@" 2>/dev/null; do
        left=$((left - 1))
        [ $left -gt 0 ] || return 1
        sleep 1
    done
}
healthy() { curl -sf http://127.0.0.1:8080/healthz >/dev/null; }
said() { journalctl -u $service --no-pager | grep -q -- "$1"; }
property() { systemctl show -P "$1" $service; }
restarted() { [ "$(property NRestarts)" -gt "$1" ]; }
active() { systemctl is-active -q $service; }
absent() { [ ! -e "$1" ]; }

ok "it installs" dpkg -i /srv/first.deb
sleep 1
ok "nothing starts by itself" sh -c "! systemctl is-active -q $service && ! systemctl is-enabled -q $service"
ok "it is enabled" systemctl enable -q $service
systemctl start --no-block $service
ok "without a camera it says so" soon 20 said 'there is no camera /dev/video0'
ok "of which the journal knows the kind" sh -c "journalctl -q -o cat -u $service DENSIGHT_KIND=camera PRIORITY=3 | grep -q 'there is no camera'"
ok "and is tried again" soon 30 restarted 0

# The clip stands in for the camera.
sed -i 's,^input = .*,input = "clip://"\ninput-loop = true,' /etc/densight/camera.toml
mkdir -p /etc/systemd/system/$service.service.d
printf '[Service]\nWatchdogSec=6\nRestartSec=1\n' >/etc/systemd/system/$service.service.d/test.conf
systemctl daemon-reload
ok "it starts" systemctl restart $service
ok "it is ready" active
ok "it answers its health check" soon 10 healthy
ok "it says how it does" sh -c "systemctl show -P StatusText $service | grep -q 'frames a second'"
curl -s http://127.0.0.1:8080/status.json | cut -c1-200
pid=$(property MainPID)
# The range that systemd takes them from.
ok "it has a user of its own" [ "$(ps -o uid= -p "$pid")" -ge 61184 ]
ok "in the group video" sh -c "grep -w Groups /proc/$pid/status | grep -qw $(getent group video | cut -d: -f3)"
ok "without capabilities" grep -qE '^CapEff:\s0+$' "/proc/$pid/status"
systemd-analyze security --no-pager $service | tail -n 1

before=$(property NRestarts)
kill -9 "$pid"
ok "killed it comes back" soon 20 restarted "$before"
ok "and is well" soon 20 healthy
before=$(property NRestarts)
kill -STOP "$(property MainPID)"
ok "hung it is replaced by the watchdog" soon 40 restarted "$before"
ok "and is well" soon 20 healthy
before=$(property NRestarts)
sleep 8
ok "the watchdog leaves a healthy one alone" [ "$(property NRestarts)" = "$before" ]

sed -i '1i topk = 1' /etc/densight/camera.toml
pid=$(property MainPID)
ok "it reads its settings again" systemctl reload $service
ok "and says so" soon 30 said 'settings: changed; frame: '
ok "without a new start" sh -c "systemctl is-active -q $service && [ $(property MainPID) = $pid ]"

# Another camera, with settings of its own, by encrypted connections.
encrypted() { curl -sf -o /dev/null --cacert /var/lib/private/densight/certificate.pem https://127.0.0.1:8081/healthz; }
sed 's,http://127.0.0.1:8080,https://127.0.0.1:8081,' /etc/densight/camera.toml >/etc/densight/front.toml
ok "a second camera starts" systemctl start densight-camera@front
front=$(systemctl show -P MainPID densight-camera@front)
ok "it is well, with a certificate of its own" soon 10 encrypted
ok "whose fingerprint it says" sh -c "journalctl -q -o cat -u densight-camera@front | grep -q \"certificate SHA-256 $(STATE_DIRECTORY=/var/lib/private/densight densight-camera --show-fingerprint)\""
ok "as the same user" [ "$(ps -o uid= -p "$front")" = "$(ps -o uid= -p "$(property MainPID)")" ]

ok "it upgrades" dpkg -i /srv/second.deb
ok "to the next version" sh -c "dpkg-query -W -f '\${Version}' densight | grep -q next"
ok "settings are kept" grep -q clip:// /etc/densight/camera.toml
ok "and it runs" soon 20 healthy
ok "the second camera runs the new version" soon 20 sh -c "[ \$(systemctl show -P MainPID densight-camera@front) != $front ]"
ok "and is well" soon 20 encrypted
ok "it stops" systemctl stop $service
ok "without a failure" [ "$(property Result)" = success ]
systemctl start $service

ok "it is removed" dpkg -r densight
ok "the services are gone" sh -c "! systemctl is-active -q $service && ! systemctl is-active -q densight-camera@front"
ok "the programs are gone" absent /usr/bin/densight-camera
ok "settings stay" [ -e /etc/densight/camera.toml ]
ok "it is purged" dpkg -P densight
ok "settings are gone" absent /etc/densight/camera.toml
ok "its folder is gone" absent /var/lib/private/densight
ok "it is no longer enabled" sh -c "! ls /etc/systemd/system/multi-user.target.wants | grep -q densight"
ok "its user is gone" sh -c "! getent passwd densight"
