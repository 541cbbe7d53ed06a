#!/bin/sh
# Start nginx in its container: deploy/nginx.conf with the first name of ALLOWED_HOSTS and the service `registry`. The
# certificate is expected in /etc/letsencrypt/live/NAME/.
set -eu
name=${ALLOWED_HOSTS%%,*}
case $name in
    '' | *[!a-z0-9.-]*) echo "ALLOWED_HOSTS: Begin with the host name of the registry, in lower case." >&2; exit 1 ;;
esac
mkdir -p /tmp/registry
sed -e "s/registry\.example\.org/$name/g" -e "s/server 127\.0\.0\.1:8000/server ${UPSTREAM:-registry:8000}/" \
    -e "s|/var/log/nginx/access\.log|/dev/stdout|" /deploy/nginx.conf > /tmp/registry/nginx.conf
cp /deploy/registry.locations /tmp/registry/
cp /deploy/compose/nginx.conf /tmp/
exec nginx -e stderr -c /tmp/nginx.conf -g 'daemon off;'
