-- Pools of coupon codes that a shop made. Counts are moved by the transactions that change codes, so that nobody counts rows.
-- After the file was brought back from a backup, free codes up to the number `aside_upto` may have been given out since; `aside` is how
-- many.
CREATE TABLE coupon_pools (
    pool_id    INTEGER PRIMARY KEY,
    pool       TEXT   NOT NULL UNIQUE,
    total      BIGINT NOT NULL DEFAULT 0,
    drawn      BIGINT NOT NULL DEFAULT 0 CHECK (drawn <= total),
    aside      BIGINT NOT NULL DEFAULT 0 CHECK (drawn + aside <= total),
    aside_upto BIGINT NOT NULL DEFAULT 0,
    longest    BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
);

-- `handle` is a keyed hash of the code, by which one is in no two pools; `sealed` is the code. Codes are drawn in the order of their
-- numbers. A drawn code keeps `drawn_at` for ever; what it was drawn for goes when its contact is erased.
CREATE TABLE coupons (
    coupon_id   INTEGER PRIMARY KEY,
    pool_id     BIGINT NOT NULL REFERENCES coupon_pools (pool_id),
    handle      BLOB   NOT NULL UNIQUE,
    sealed      BLOB   NOT NULL,
    drawn_at    BIGINT,
    message_id  TEXT,
    contact_key BIGINT
);
CREATE INDEX coupons_free ON coupons (pool_id, coupon_id) WHERE drawn_at IS NULL;
CREATE UNIQUE INDEX coupons_by_message ON coupons (message_id, pool_id) WHERE message_id IS NOT NULL;
CREATE INDEX coupons_by_contact ON coupons (contact_key) WHERE contact_key IS NOT NULL;

CREATE TRIGGER coupons_stay_drawn BEFORE UPDATE ON coupons
WHEN OLD.drawn_at IS NOT NULL
    AND (NEW.drawn_at IS NOT OLD.drawn_at OR (NEW.message_id IS NOT NULL AND NEW.message_id IS NOT OLD.message_id))
BEGIN
    SELECT RAISE (ABORT, 'a code that was drawn is never drawn again');
END;

CREATE TRIGGER coupons_stay BEFORE DELETE ON coupons
BEGIN
    SELECT RAISE (ABORT, 'a code that was known is never forgotten');
END;
