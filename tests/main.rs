//! Everything end to end, in reading order: the story first, then what may go wrong, then the house rules.
//!
//! `make test` installs what these tests need and runs them.

mod story {
    //! What Sendlab promises, as it happens.
    mod balanced_groups;
    mod before_a_test;
    mod before_and_after_start;
    mod best_hour;
    mod by_group;
    mod changed_campaign;
    mod channel_choice;
    mod coupons;
    mod early_look;
    mod held_out;
    mod letters;
    mod mid_campaign;
    mod moving_shares;
    mod one_person;
    mod own_products;
    mod past_experiment;
    mod permission;
    mod receipts;
    mod recommendation_feed;
    mod recommendation_moves;
    mod signed_mail;
    mod subscription;
    mod test_sends;
    mod triggered_mail;
    mod triggers;
    mod warm_up;
    mod winner_reaches_sender;
}
mod doors {
    //! For files of other people: statistics without the platform, and the ways in.
    mod analyze;
    mod bench_smtp;
    mod calendar;
    mod certify;
    mod import_contacts;
    mod import_events;
    mod lake_care;
    mod segments;
    mod stats;
}
mod contracts;
mod faults {
    //! One file per failure.
    mod bad_batch;
    mod kill_lake;
    mod kill_nine;
    mod kill_senders;
    mod server_drops_after_dot;
    mod server_says_421;
    mod server_says_550;
    mod server_says_later;
    mod server_stalls;
    mod server_takes_data_of_nobody;
}
mod support;
mod tidy;
