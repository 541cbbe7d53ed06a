-- Two database roles, so that the process that serves requests cannot change what protects the records.
--
-- registry_owner  owns the tables, and runs `migrate`, `prune` and `after_restore`, nothing else
-- registry_app    serves requests and runs all other commands. It can add records, but cannot change or delete them, and
--                 cannot drop, replace or disable a trigger
--
-- Run this file as a superuser of PostgreSQL, in the database of the registry. It is safe to run it again:
--
--     createdb -E UTF8 -T template0 --locale=C.UTF-8 registry
--     psql -d registry -f deploy/postgresql-roles.sql                     # before the first migrate
--     psql -d registry -c '\password registry_owner' -c '\password registry_app'
--     DATABASE_URL='postgres://registry_owner:…' .venv/bin/python manage.py migrate
--     psql -d registry -f deploy/postgresql-roles.sql                     # again, for the new tables
--
-- If one role owned everything before: ALTER ROLE registry RENAME TO registry_owner, then run this file.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'registry_owner') THEN
        CREATE ROLE registry_owner LOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'registry_app') THEN
        CREATE ROLE registry_app LOGIN;
    END IF;
    EXECUTE format('ALTER DATABASE %I OWNER TO registry_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO registry_app', current_database());
END $$;

ALTER SCHEMA public OWNER TO registry_owner;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO registry_app;

-- Existing tables and sequences, and those of later migrations.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO registry_app;
GRANT SELECT, USAGE ON ALL SEQUENCES IN SCHEMA public TO registry_app;
ALTER DEFAULT PRIVILEGES FOR ROLE registry_owner IN SCHEMA public
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO registry_app;
ALTER DEFAULT PRIVILEGES FOR ROLE registry_owner IN SCHEMA public
    GRANT SELECT, USAGE ON SEQUENCES TO registry_app;

-- registry_app only adds records. Only the owner changes their retention and the list of migrations.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'devices_auditevent', 'devices_historicaldevice', 'devices_historicalhospital', 'devices_historicalapikey'
    ] LOOP
        IF to_regclass(name) IS NOT NULL THEN
            EXECUTE format('REVOKE UPDATE, DELETE ON %I FROM registry_app', name);
        END IF;
    END LOOP;
    FOREACH name IN ARRAY ARRAY['devices_auditretention', 'django_migrations'] LOOP
        IF to_regclass(name) IS NOT NULL THEN
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %I FROM registry_app', name);
        END IF;
    END LOOP;
END $$;
