//! Schedules that are refused, and what to write instead: one line a case.

use crate::domain::calendar::recurrence::Recurrence;
use crate::domain::calendar::tests::*;

/// One table, a case each.
#[test]
fn what_a_cron_job_would_not_take_is_refused_with_what_to_write() {
    let read = |field: &str, why: &str| format!("cannot be read: {field}: {why}");
    let fields = "is not five fields (minute, hour, day of month, month, day of week)".to_owned();
    let empty = |what: &str| {
        format!("an element of the list is empty: remove the comma, or write * for every {what}")
    };
    let month = |name: &str, here: &str| {
        format!(
            "{name} is the name of a month, which belongs in the fourth field; write a number from {here} here"
        )
    };
    let weekday = |name: &str, here: &str| {
        format!(
            "{name} is the name of a day of week, which belongs in the fifth field; write a number from {here} here"
        )
    };
    let by_name = |what: &str| {
        format!(
            "{what}: write the weekday by its name, like TUE#1 or FRIL, because its number is not the same everywhere"
        )
    };
    let which = |what: &str| {
        format!("{what}: number the weekday within the month from #1 to #5, or write the last one like FRIL")
    };
    let minute = |text: &str| format!("\"{text}\" is not a number from 0 to 59");
    let weekdays = "from 0 to 6 or a name from SUN to SAT";
    let sunday = "7 is outside 0 to 6: write 0 or SUN for Sunday";
    let nearest = "the weekday nearest to a day (W) is not supported: write the days, like 13-17";
    let zone = "names a time zone: set it in the window's timeZone and remove it here".to_owned();
    let every = "depends on when a process started: write when it begins by the clock, like 0 */2 * * * for every second hour";
    let nicknames = "is not one of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly: write one of them, or five fields";
    for (schedule, expected) in [
        // Empty elements.
        (", 9 * * *", read("minute \",\"", &empty("minute"))),
        ("0 , * * *", read("hour \",\"", &empty("hour"))),
        ("0 9 , * *", read("day of month \",\"", &empty("day of month"))),
        ("0 9 * ,, *", read("month \",,\"", &empty("month"))),
        ("0 9 * * ,", read("day of week \",\"", &empty("day of week"))),
        ("1,,2 9 * * *", read("minute \"1,,2\"", &empty("minute"))),
        ("1, 9 * * *", read("minute \"1,\"", &empty("minute"))),
        // Names in the wrong field.
        (
            "0 9 * * JAN",
            read(
                "day of week \"JAN\"",
                &month("JAN", "0 to 6 or a name from SUN to SAT"),
            ),
        ),
        (
            "0 9 JAN * *",
            read("day of month \"JAN\"", &month("JAN", "1 to 31")),
        ),
        ("MON 9 * * *", read("minute \"MON\"", &weekday("MON", "0 to 59"))),
        ("0 mon * * *", read("hour \"mon\"", &weekday("mon", "0 to 23"))),
        (
            "0 9 * MON *",
            read(
                "month \"MON\"",
                &weekday("MON", "1 to 12 or a name from JAN to DEC"),
            ),
        ),
        (
            "0 9 * * MON-JAN",
            read(
                "day of week \"MON-JAN\"",
                &month("JAN", "0 to 6 or a name from SUN to SAT"),
            ),
        ),
        (
            "0 9 1JAN * *",
            read("day of month \"1JAN\"", "\"1JAN\" is not a number from 1 to 31"),
        ),
        (
            "0 9 * * MONDAY",
            read(
                "day of week \"MONDAY\"",
                &format!("\"MONDAY\" is not a number {weekdays}"),
            ),
        ),
        // Texts that are not numbers, and numbers out of range.
        (
            "0 0 13 * +5",
            read(
                "day of week \"+5\"",
                &format!("\"+5\" is not a number {weekdays}"),
            ),
        ),
        ("+5 0 * * *", read("minute \"+5\"", &minute("+5"))),
        ("-5 0 * * *", read("minute \"-5\"", &minute(""))),
        ("5- 0 * * *", read("minute \"5-\"", &minute(""))),
        ("1-2-3 0 * * *", read("minute \"1-2-3\"", &minute("2-3"))),
        ("1_0 0 * * *", read("minute \"1_0\"", &minute("1_0"))),
        ("٣ 0 * * *", read("minute \"٣\"", &minute("٣"))),
        ("H 0 * * *", read("minute \"H\"", &minute("H"))),
        (
            "99999999999999999999 0 * * *",
            read("minute \"99999999999999999999\"", &minute("99999999999999999999")),
        ),
        ("60 0 * * *", read("minute \"60\"", "60 is outside 0 to 59")),
        ("0 24 * * *", read("hour \"24\"", "24 is outside 0 to 23")),
        ("0 0 0 * *", read("day of month \"0\"", "0 is outside 1 to 31")),
        (
            "0 0 1-32 * *",
            read("day of month \"1-32\"", "32 is outside 1 to 31"),
        ),
        ("0 0 * 13 *", read("month \"13\"", "13 is outside 1 to 12")),
        ("0 0 * * 7", read("day of week \"7\"", sunday)),
        ("0 0 * * 5-7", read("day of week \"5-7\"", sunday)),
        // Ranges that end before they begin.
        (
            "0 0 * * SAT-SUN",
            read(
                "day of week \"SAT-SUN\"",
                "SAT-SUN ends before it begins: write SAT,SUN",
            ),
        ),
        (
            "0 0 * * MON-SUN",
            read(
                "day of week \"MON-SUN\"",
                "MON-SUN ends before it begins: write MON-SAT,SUN",
            ),
        ),
        (
            "0 0 * * 5-1",
            read(
                "day of week \"5-1\"",
                "5-1 ends before it begins: write FRI-SAT,SUN-MON",
            ),
        ),
        (
            "0 22-2 * * *",
            read("hour \"22-2\"", "22-2 ends before it begins: write 22-23,0-2"),
        ),
        (
            "0 0 * NOV-FEB *",
            read(
                "month \"NOV-FEB\"",
                "NOV-FEB ends before it begins: write NOV-DEC,JAN-FEB",
            ),
        ),
        // Stars and steps.
        (
            "*-5 0 * * *",
            read("minute \"*-5\"", "* means every minute and cannot begin a range"),
        ),
        (
            "?-5 0 * * *",
            read("minute \"?-5\"", "? means every minute and cannot begin a range"),
        ),
        ("** 0 * * *", read("minute \"**\"", &minute("**"))),
        (
            "*/0 0 * * *",
            read(
                "minute \"*/0\"",
                "\"0\" is not a step: write a whole number of at least 1",
            ),
        ),
        (
            "*/ 0 * * *",
            read(
                "minute \"*/\"",
                "\"\" is not a step: write a whole number of at least 1",
            ),
        ),
        (
            "*/+2 0 * * *",
            read(
                "minute \"*/+2\"",
                "\"+2\" is not a step: write a whole number of at least 1",
            ),
        ),
        (
            "1/2/3 0 * * *",
            read(
                "minute \"1/2/3\"",
                "\"2/3\" is not a step: write a whole number of at least 1",
            ),
        ),
        ("/5 0 * * *", read("minute \"/5\"", &minute(""))),
        // What Quartz and croner have.
        ("0 0 15W * *", read("day of month \"15W\"", nearest)),
        ("0 0 LW * *", read("day of month \"LW\"", nearest)),
        (
            "0 0 L-3 * *",
            read("day of month \"L-3\"", "\"L\" is not a number from 1 to 31"),
        ),
        (
            "0 L * * *",
            read("hour \"L\"", "\"L\" is not a number from 0 to 23"),
        ),
        ("0 0 * * L", read("day of week \"L\"", &by_name("L"))),
        ("0 0 * * 5L", read("day of week \"5L\"", &by_name("5L"))),
        ("0 0 * * 5#2", read("day of week \"5#2\"", &by_name("5#2"))),
        ("0 0 * * FRI#0", read("day of week \"FRI#0\"", &which("FRI#0"))),
        ("0 0 * * FRI#6", read("day of week \"FRI#6\"", &which("FRI#6"))),
        ("0 0 * * FRI#L", read("day of week \"FRI#L\"", &which("FRI#L"))),
        (
            "0 0 * * FRI#1/2",
            read("day of week \"FRI#1/2\"", &which("FRI#1/2")),
        ),
        (
            "0 0 * JAN#1 *",
            read(
                "month \"JAN#1\"",
                "\"JAN#1\" is not a number from 1 to 12 or a name from JAN to DEC",
            ),
        ),
        // Too few fields, and too many.
        ("0 18 * *", fields.clone()),
        ("0 0 18 * * TUE", fields.clone()),
        ("0 0 18 ? * TUE *", fields.clone()),
        ("0 9\u{a0}1 * * *", fields.clone()),
        ("", fields.clone()),
        (" @daily", fields),
        // Zones, and nicknames.
        ("TZ=Asia/Tokyo 0 9 * * *", zone.clone()),
        ("CRON_TZ=Asia/Tokyo 0 9 * * *", zone.clone()),
        ("TZ=UTC", zone),
        ("@every 1h30m", every.to_owned()),
        ("@every", every.to_owned()),
        ("@Daily", nicknames.to_owned()),
        ("@daily ", nicknames.to_owned()),
        ("@reboot", nicknames.to_owned()),
        // Schedules that never fire.
        ("0 0 31 2 *", "never fires".to_owned()),
        ("0 0 30 2 *", "never fires".to_owned()),
        ("0 0 31 4,6,9,11 ?", "never fires".to_owned()),
    ] {
        let sentence = Recurrence::parse(schedule, span("1h"), "UTC")
            .map_err(|why| why.to_string())
            .err();
        let expected = format!("the schedule \"{schedule}\" {expected}");
        assert_eq!(sentence, Some(expected));
    }
}
