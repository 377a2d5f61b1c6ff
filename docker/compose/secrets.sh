#!/bin/sh
# Makes, once, what the mesh of docker/compose.yaml proves itself by: an authority, a
# certificate for the replicas, one for the sidecars and one for an admin, with SPIFFE ids,
# and the keys of the session records. secrets.sh FOLDER USER
set -eu
umask 077
folder=$1
user=$2
cd "$folder"
[ -e done ] && exit 0

new_key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }

new_key ca.key
openssl req -x509 -new -key ca.key -subj '/CN=Outrigger compose' -days 3650 -out ca.crt

certificate() {
  new_key "$1.key"
  printf 'subjectAltName=%s\n' "$2" > "$1.ext"
  openssl req -new -key "$1.key" -subj "/CN=$1" |
    openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -extfile "$1.ext" -out "$1.crt"
  rm "$1.ext"
}
certificate replica 'DNS:replica-a,DNS:replica-b,URI:spiffe://mesh.example/control-plane'
certificate sidecar 'URI:spiffe://mesh.example/agent'
certificate admin 'URI:spiffe://mesh.example/admin'

openssl rand -base64 32 > server.key
openssl rand -base64 32 > index.key
# Nobody needs to issue another one.
rm ca.key
chown "$user:$user" ./*.crt ./*.key
: > done
chmod 755 .
