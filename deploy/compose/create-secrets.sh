#!/bin/sh
# Create the secrets of compose.yaml in the folder `secrets` of the working directory, or in the folder $1. Existing
# secrets stay. Only you can enter the folder. The files in it are readable, because the users of the containers read
# them.
set -eu
folder=${1:-secrets}
(umask 077 && mkdir -p "$folder")
chmod 700 "$folder"
umask 022

random() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
write() { [ -s "$folder/$1" ] || printf '%s\n' "$2" > "$folder/$1"; }

write secret_key "$(random)"
for role in app owner; do
    write "${role}_database_url" "postgres://registry_$role:$(random)@%2Frun%2Fpostgresql/registry"
done
