//! What the page says of every kind of decision, and that it stays a page whatever it is handed.

use super::fixture::*;

#[test]
fn every_action_is_named() {
    let check = |case: Case, action: &str| {
        let page = case.page();
        assert!(page.contains(&format!("<p class=\"action\">{action}</p>")), "{page}");
    };
    check(ship(), "Ship");
    check(keep_testing(), "Keep testing");
    check(stop_for_harm(), "Stop for harm");
    check(cannot_judge(), "Cannot judge");
    check(no_data(), "Cannot judge");
}
