-- Named audiences. Every version stays, because plans name the one they were made with.
CREATE TABLE segments (
    segment    TEXT   NOT NULL,
    version    BIGINT NOT NULL,
    definition TEXT   NOT NULL,
    stored_at  BIGINT NOT NULL,
    PRIMARY KEY (segment, version)
);

-- What a segment was when a plan was made with it: the query, how many it named and the version of each table it read.
CREATE TABLE segment_uses (
    campaign_id   TEXT   NOT NULL,
    plan_version  BIGINT NOT NULL,
    segment       TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    query         TEXT   NOT NULL,
    contact_count BIGINT NOT NULL,
    lake_versions TEXT   NOT NULL,
    used_at       BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, plan_version)
);
CREATE INDEX segment_uses_by_segment ON segment_uses (segment, version);
