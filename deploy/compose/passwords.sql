-- Give the two roles the passwords that the secrets of compose.yaml have. postgresql-roles.sql has created the roles.
\set app `sed 's|^[^:]*://registry_app:\([^@]*\)@.*|\1|' /run/secrets/app_database_url`
\set owner `sed 's|^[^:]*://registry_owner:\([^@]*\)@.*|\1|' /run/secrets/owner_database_url`
ALTER ROLE registry_app PASSWORD :'app';
ALTER ROLE registry_owner PASSWORD :'owner';
