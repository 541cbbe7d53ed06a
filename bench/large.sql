-- Fill an empty registry with :n devices of the hospitals that it has, with their history: see bench/large.py.
--
-- 1. The triggers do not fire, and all indexes but those of the primary keys are built afterwards.
-- 2. One number in 51 is a device that is retired. It is only in the history, with two changes.
-- 3. A hospital has the more devices, the lower its id: of 3,000 hospitals the first has 1.8 % of them, and half of the
--    hospitals have 0.03 % or less. One device in a hundred has no hospital, and three in ten are CORPORATE.
-- 4. The devices were registered in the last two years, in the order of their ids.
\set ON_ERROR_STOP on
SET session_replication_role = replica;
SET synchronous_commit = off;
SET maintenance_work_mem = '1GB';
SELECT setseed(0.5);

CREATE TEMP TABLE indexes AS
SELECT 'ALTER TABLE ' || conrelid::regclass || ' DROP CONSTRAINT ' || quote_ident(conname) AS remove,
    'ALTER TABLE ' || conrelid::regclass || ' ADD CONSTRAINT ' || quote_ident(conname) || ' '
    || pg_get_constraintdef(oid) AS build
FROM pg_constraint WHERE conrelid IN ('devices_device'::regclass, 'devices_historicaldevice'::regclass) AND contype = 'u'
UNION ALL
SELECT 'DROP INDEX ' || indexrelid::regclass, pg_get_indexdef(indexrelid)
FROM pg_index WHERE indrelid IN ('devices_device'::regclass, 'devices_historicaldevice'::regclass)
AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'));
SELECT remove FROM indexes \gexec

CREATE TEMP TABLE hospitals AS SELECT id, row_number() OVER (ORDER BY id) - 1 AS number FROM devices_hospital;
CREATE UNIQUE INDEX ON hospitals (number);
ANALYZE hospitals;

-- 679741404543 is odd, so it permutes the numbers below 2**40 and spreads consecutive numbers, as in seed_devices.
INSERT INTO devices_device (id, device_name, device_mac, device_type, device_holder_id, created_at, updated_at)
SELECT
    number, kind || ' ' || digits, regexp_replace('02' || digits, '(..)(?!$)', '\1:', 'g'),
    CASE WHEN random() < 0.3 THEN 'CORPORATE' ELSE 'CONSUMER' END,
    (SELECT id FROM hospitals WHERE hospitals.number = chosen.hospital AND chosen.has_hospital), at, at
FROM (
    SELECT
        number, lpad(upper(to_hex(number * 679741404543 % (1::bigint << 40))), 10, '0') AS digits,
        (ARRAY['Cuff', 'Thermometer', 'Oximeter', 'Watch'])[1 + floor(random() * 4)::int] AS kind,
        floor(random() ^ 2 * (SELECT count(*) FROM hospitals))::bigint AS hospital, random() > 0.01 AS has_hospital,
        date_trunc('milliseconds', now() - interval '2 years' * (1 - number / (:n * 1.02))) AS at
    FROM generate_series(1, :n::bigint * 51 / 50) AS number
    OFFSET 0
) AS chosen;

INSERT INTO devices_historicaldevice (
    id, device_name, device_mac, device_type, device_holder_id, created_at, updated_at, history_date, history_type,
    history_channel, history_api_key_id, history_ip_address, history_request_id
)
SELECT
    id, device_name, device_mac, device_type, device_holder_id, created_at, updated_at, created_at, '+',
    'api', 1, '192.0.2.1', md5(id::text)
FROM devices_device ORDER BY id;
INSERT INTO devices_historicaldevice (
    id, device_name, device_mac, device_type, device_holder_id, created_at, updated_at, history_date, history_type,
    history_channel, history_request_id, history_previous_holder_id
)
SELECT
    id, device_name, device_mac, device_type, device_holder_id, created_at, updated_at, now(), '-',
    'admin', md5('-' || id::text), device_holder_id
FROM devices_device WHERE id % 51 = 0 ORDER BY id;
DELETE FROM devices_device WHERE id % 51 = 0;
SELECT setval(pg_get_serial_sequence('devices_device', 'id'), :n::bigint * 51 / 50);

SELECT build FROM indexes \gexec
