-- When somebody ended a campaign for good; its state is then that of one that is done.
ALTER TABLE campaigns ADD COLUMN cancelled_at BIGINT;
