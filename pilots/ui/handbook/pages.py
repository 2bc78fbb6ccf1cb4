"""One topic for every page: what it shows and what can be done there."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from pilots.models import Role
from pilots.ui.handbook.topic import Topic

_COMMISSIONING = ("commissioning", "point_table", "alarm_table", "scl", "point_tests", "point_test")

PAGES = (
    Topic(
        key="overview",
        title=_("Overview"),
        routes=("overview",),
        body=(
            _(
                "One row a pilot: power at the grid with its direction in words, state of charge of all batteries, alarms by "
                "priority, the letters of its links, and the age of the newest value. A click on the row or on the map opens "
                "the pilot."
            ),
            _(
                "All is grey when all is normal: colour and shape stand for what asks for attention. A sum whose parts are "
                "missing says how many; it never hides them."
            ),
        ),
    ),
    Topic(
        key="diagram",
        title=_("Diagram"),
        routes=("pilot",),
        keys=("diagram", "pilot", "setpoint"),
        body=(
            _(
                "The network of the pilot from the grid down, and beside it the communication column with each link's "
                "letter. A solid line is proved to be energised; dashes mean no supply, dots that nobody knows."
            ),
            _(
                "A triangle points where the power goes, and the word beside the value says it too. The bar below a value is "
                "its share of what the device can carry."
            ),
            _(
                "A click on a device opens its faceplate: values with their age, who holds it, its trend, set-points, "
                "alarms, links and documents. Table shows the devices as rows, live."
            ),
            _(
                "On a phone the devices stand as a ladder: one row each from the grid outwards, what hangs behind it below or "
                "one step further in, the letters of its links at the right. A tap opens the faceplate. Diagram shows the "
                "picture, pressed once more the ladder."
            ),
        ),
    ),
    Topic(
        key="trends",
        title=_("Trends"),
        routes=("trends",),
        keys=("trend_cursor", "trends"),
        body=(
            _(
                "Choose up to 20 points; each unit has a lane of its own. Drag over the chart to zoom: the server is asked "
                "anew, down to every kept sample. Beside the buttons stands whether you see samples or means."
            ),
            _(
                "A gap in a curve is a gap in knowledge: old, invalid and missing values are not drawn through, and the "
                "strip below says where. Alarms and set-points are marked on top."
            ),
            _(
                "Forecasts are dashed lines with their bounds as a band, and above the chart stands when each was issued. "
                "Look ahead of now lets the window go on. A forecast is never a measurement: no command, guard or alarm "
                "rests on it."
            ),
            _(
                "Compare with yesterday or last week, set the marks A and B to measure between, save the view under a name, "
                "or take it along as PNG or CSV."
            ),
        ),
    ),
    Topic(
        key="links",
        title=_("Links"),
        routes=("links", "quality_sheet"),
        body=(
            _(
                "Every link of the pilot by its letter: its state and since when, and for our own connections round trip, "
                "loss, retries and traffic, all live. What is down stands before what is weak, the cause before what hangs "
                "on it."
            ),
            _(
                "One link opens with its counters and, for operators, engineers and installers, its newest frames in hex and "
                "words. Quality of service is the month's sheet of availability, round trip and loss."
            ),
        ),
    ),
    Topic(
        key="sgam",
        title=_("SGAM"),
        routes=("sgam",),
        body=(
            _(
                "The same devices and links in the Smart Grid Architecture Model: zones from market to process, domains from "
                "generation to customers. Choose the layer: component, communication, information, function or business."
            ),
            _(
                "On the plane a box is one kind of device in one place, and a line the links of one letter; its pattern "
                "tells the worst state among them. A click leads to the faceplate or to the link."
            ),
        ),
    ),
    Topic(
        key="use-cases",
        title=_("Use cases"),
        routes=("use_cases",),
        body=(
            _(
                "What D7.1 asks of each device for UC-1, UC-2, UC-3 and UC-5: how many items are present in its profile, and "
                "how many of those measured are live and good. What is missing stands there in words; Every item opens the "
                "list."
            ),
        ),
    ),
    Topic(
        key="schedules",
        title=_("Schedules"),
        routes=("schedules", "schedule", "new_schedule"),
        roles=(Role.OPERATOR,),
        body=(
            _(
                "A pilot's curves of wanted values, those running, waiting and drafted first. One opens with its curve over "
                "the measurement and a row for each step: waiting, executed, refused and why, missed."
            ),
            _(
                "INVADE sends schedules, and operators make one by New schedule. A set-point by hand goes before a schedule; "
                "when yours ends, the schedule's value for now is applied."
            ),
        ),
    ),
    Topic(
        key="commissioning",
        title=_("Commissioning"),
        routes=_COMMISSIONING,
        roles=(Role.ENGINEER,),
        body=(
            _(
                "Read one address of a device, write it, browse what the device offers, and keep it as a point. Tables of "
                "points and of alarm rules are compared before anything is applied; point tests are recorded and signed."
            ),
            _("A write from here goes straight to the equipment. Do not operate and commands off hold here too."),
        ),
    ),
    Topic(
        key="alarms",
        title=_("Alarms"),
        routes=("alarms",),
        roles=(Role.OPERATOR, Role.ENGINEER),
        keys=("alarms",),
        body=(
            _(
                "What asks for an answer comes first. An alarm opens with why it comes, what to do, and what happened to it "
                "so far."
            ),
            _(
                "Acknowledge says that you have seen it, also while it is active. Shelve makes it silent for 15 minutes to "
                "24 hours with a reason, and it comes back by itself. Engineers also take an alarm out of service or "
                "suppress it."
            ),
            _(
                "One cause is one alarm: when much is lost at once, the devices stand inside the alarm of their connection "
                "or their pilot."
            ),
        ),
    ),
    Topic(
        key="key-figures",
        title=_("Key figures of the alarms"),
        routes=("alarm_performance",),
        body=(
            _(
                "How well the alarms serve people, after EEMUA 191 and IEC 62682, over 1, 7 or 30 days: how many come, time "
                "in flood, the most frequent, those that stand for more than a day, chattering ones, time to acknowledge. "
                "Each figure stands beside its target."
            ),
        ),
    ),
    Topic(
        key="setpoints",
        title=_("Set-points"),
        routes=("setpoints", "setpoint"),
        keys=("setpoints",),
        body=(
            _(
                "Every set-point of your pilots, newest first and live: from operators, INVADE, schedules, control centres, "
                "and those that give a device back. Active only shows what is on its way or in force."
            ),
            _(
                "Each has a page of its own: every step with its time, who and why, and the measurement drawn over the "
                "wished value."
            ),
        ),
    ),
    Topic(
        key="groups",
        title=_("Group set-points"),
        routes=("new_group", "preview_group", "create_group", "setpoint_group"),
        roles=(Role.OPERATOR,),
        body=(
            _(
                "One target for several batteries, or one ceiling for several charge points, of a pilot. Tick the devices, "
                "give the power of all together, and look at the shares: that sends nothing yet."
            ),
            _(
                "Each takes the same part of what it can do now; who cannot take part is named with the reason. What is sent "
                "is what you saw. Abort stops what is not written yet and gives back the rest."
            ),
        ),
    ),
    Topic(
        key="journal",
        title=_("Journal"),
        routes=("journal",),
        body=(
            _(
                "What happened and who did what at your pilots, newest first: alarms, links, set-points and commands step by "
                "step, schedules, tags and holds. Search and filters narrow the list, and the address keeps them."
            ),
            _("Diagram then opens the replay at that moment, Trend the curve around it."),
        ),
    ),
    Topic(
        key="replay",
        title=_("Replay"),
        routes=("replay",),
        keys=("replay",),
        body=(
            _(
                "Diagram, links and alarms of a pilot as they were at a moment of the past, under a band that says so. "
                "Nothing on it commands anything, and only the alarm strip is of now."
            ),
            _(
                "Drag the slider, give a time, step from event to event, or let it play. A click on a device shows its "
                "values of then."
            ),
        ),
    ),
    Topic(
        key="exports",
        title=_("Exports"),
        routes=("exports",),
        body=(
            _(
                "Samples of any points and window as CSV, XLSX or Parquet. The export is a job: the list shows how far it "
                "is, and you may leave the page and come back for the file."
            ),
            _(
                "The manifest says who asked for what and when, each point with its unit, and the checksum. Units are the "
                "stored ones, W and not kW; every time has its offset."
            ),
        ),
    ),
    Topic(
        key="dashboards",
        title=_("Dashboards"),
        routes=("dashboards", "dashboard"),
        body=(
            _(
                "Pages of your own: up to 24 tiles with live values or hour trends of any points of your pilots. Share one "
                "and others may look; only you change it."
            ),
        ),
    ),
    Topic(
        key="kiosks",
        title=_("Kiosks"),
        routes=("kiosks",),
        roles=(Role.ENGINEER,),
        keys=("kiosk",),
        body=(
            _(
                "Wall screens: a name, the pilots, a last day, and up to 12 pages in turn. The link is shown once and opens "
                "the screen without a login; the screen reads its pages and can do nothing. Revoke closes it within seconds."
            ),
        ),
    ),
    Topic(
        key="handover",
        title=_("Handover"),
        routes=("handover",),
        roles=(Role.OPERATOR,),
        body=(
            _(
                "The report of a shift, of one pilot or of all you may see: what stands and what happened. Shift before and "
                "Shift after walk; PDF is the same report on A4."
            ),
            _(
                "Operators write notes for who comes next; a note is never changed, Correct writes a new one. The outgoing "
                "operator signs first, then the incoming one, who is another person."
            ),
        ),
    ),
    Topic(
        key="approvals",
        title=_("Approvals"),
        routes=("approvals",),
        roles=(Role.APPROVER,),
        body=(
            _(
                "Where a pilot asks for two persons, a command waits here for the second one, at most 5 minutes. You agree "
                "or not; who asked switches. Nobody agrees to their own command."
            ),
        ),
    ),
    Topic(
        key="training",
        title=_("Training"),
        routes=("training",),
        roles=(Role.ENGINEER, Role.INSTALLER),
        body=(
            _(
                "Faults on purpose in the simulated field: they arrive at pages and alarms as from real devices, and touch "
                "only simulated ones. A fault ends by its time, by End, or with the simulation."
            ),
        ),
    ),
    Topic(
        key="audit",
        title=_("Audit trail"),
        routes=("audit",),
        roles=(Role.OPERATOR, Role.ENGINEER, Role.SECAUD, Role.SECADM),
        body=(
            _(
                "Who did what, when and why. Rows are only ever added, and each is chained to the one before. Search and "
                "filter them, or take them along as a signed export."
            ),
        ),
    ),
    Topic(
        key="configuration",
        title=_("Configuration"),
        routes=("admin:index",),
        roles=(Role.ENGINEER, Role.SECADM, Role.RBACMNT),
        body=(
            _(
                "Pilots, connections, devices, points, links and alarm rules, people and their roles. What is changed shows "
                "on open pages within seconds. Tables are looked at before they are taken in, and each object has its "
                "history with a way back."
            ),
            _("The page opens for accounts that an administrator let into the configuration."),
        ),
    ),
    Topic(
        key="preferences",
        title=_("Preferences"),
        routes=("preferences", "account_change_password"),
        body=(
            _(
                "Language, whose clock pages speak, your own time zone, light or dark, password. They are yours alone and "
                "hold wherever you log in."
            ),
        ),
    ),
    Topic(
        key="handbook",
        title=_("Help"),
        routes=("help",),
        keys=("handbook", "help", "tour"),
        body=(
            _(
                "What each page shows, the tasks of a shift, how to read what you see, keys, roles and words. Type to find a "
                "topic. On every page ? opens the topic of that page beside it."
            ),
        ),
    ),
)
