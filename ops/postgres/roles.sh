#!/usr/bin/env bash
# Creates a database for each service, and a role that owns it and may connect to no other. The role
# `operator` may connect to each of them, and acts as its owner there. The passwords are those in
# the URLs of the secrets. PostgreSQL's image runs this once, when it has created an empty cluster.
set -euo pipefail

SECRETS=${SECRETS:-/run/secrets}

role() { # NAME: a role that may log in, with the password that its URL holds
  local url password
  url=$(<"$SECRETS/$1_database_url")
  password=${url#*://"$1":}
  password=${password%%@*}
  psql -v ON_ERROR_STOP=1 -v name="$1" -v password="$password" --no-psqlrc --quiet \
    --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
SQL
}

database() { # NAME: a database that the role of that name owns
  psql -v ON_ERROR_STOP=1 -v name="$1" --no-psqlrc --quiet \
    --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"name" TO "operator";
GRANT :"name" TO "operator";
ALTER ROLE "operator" IN DATABASE :"name" SET role = :"name";
SQL
}

role operator
for service in filing inspection complaints insurance gateway; do
  role "$service"
  database "$service"
done
