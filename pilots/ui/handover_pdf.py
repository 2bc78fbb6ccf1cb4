"""The handover report as PDF: the page's tables on A4, in fonts that know all our languages' letters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import FontFace

from pilots.domain.shift import Shift
from pilots.models import Side
from pilots.ui.handover_sections import Block, Section, when
from pilots.ui.time_zones import zone_label

FONTS = Path(__file__).parent / "fonts"
_INK, _GREY, _RULE = (31, 41, 51), (70, 80, 90), (236, 238, 240)


class _Paper(FPDF):
    """A4 with what every sheet says at its foot."""

    foot = ""

    def footer(self) -> None:
        self.set_y(-12)
        self.set_font("DejaVu", size=7)
        self.set_text_color(*_GREY)
        self.cell(0, 4, self.foot)
        self.cell(0, 4, f"{self.page_no()} / {{nb}}", align="R")


def handover_pdf(blocks: Sequence[Block], shift: Shift, *, zone: ZoneInfo, by: str, now: datetime) -> bytes:
    """The whole report; times of each pilot's part are on its own clock."""
    paper = _Paper(format="A4")
    with timezone.override(zone):
        title, span = _("Shift handover"), f"{when(shift.start)} – {when(shift.end)}"
        made = {"time": when(now), "who": by, "zone": zone_label(zone, now)}
        paper.foot = _("Made %(time)s by %(who)s, times of %(zone)s") % made
    _prepare(paper, f"{title} {span}", now)
    _line(paper, title, 16, bold=True)
    named = zone_label(zone, shift.start, shift.end)
    _line(paper, f"{span}, {named}" + (f" · {_('the shift still runs')}" if shift.end > now else ""), 9)
    if not blocks:
        _line(paper, _("No pilots to show"), 9)
    for block in blocks:
        _block(paper, block)
    return bytes(paper.output())


def _prepare(paper: _Paper, title: str, now: datetime) -> None:
    paper.add_font("DejaVu", fname=FONTS / "DejaVuSans.ttf")
    paper.add_font("DejaVu", "B", FONTS / "DejaVuSans-Bold.ttf")
    paper.set_title(title)
    paper.set_lang(get_language() or "en")
    paper.set_creation_date(now)
    paper.set_margin(14)
    paper.set_draw_color(194, 200, 205)
    paper.set_auto_page_break(True, margin=16)
    paper.add_page()


def _block(paper: _Paper, block: Block) -> None:
    with timezone.override(ZoneInfo(block.zone)):
        paper.ln(3)
        _line(paper, f"{block.pilot.code.upper()} {block.pilot.name}", 13, bold=True)
        _line(paper, "; ".join(f"{name}: {figure}" for name, figure in block.figures), 8)
        _line(paper, _("Times of %(zone)s.") % {"zone": block.zone_words}, 8)
        _section(paper, _notes(block))
        for section in block.sections:
            _section(paper, section)
        _section(paper, _signatures(block))


def _notes(block: Block) -> Section:
    rows = [[when(note.at), note.by, _note_words(note)] for note in block.notes]
    return Section(title=_("Notes"), columns=[_("Time"), _("By"), _("Note")], rows=rows, empty=_("No note was written."))


def _note_words(note: Any) -> str:
    corrected = getattr(note, "corrected_by", None)
    return f"[{_('corrected below')}] {note.text}" if corrected is not None else note.text


def _signatures(block: Block) -> Section:
    rows = []
    for side in Side:
        signature = block.signatures[side]
        rows.append([str(side.label), signature.by if signature else _("not signed"), when(signature.at) if signature else ""])
    return Section(title=_("Signatures"), columns=[_("Side"), _("Who"), _("Time")], rows=rows)


def _section(paper: _Paper, section: Section) -> None:
    if not section.rows:
        paper.ln(0.5)
        _line(paper, f"{section.title}: {section.empty}", 8)
        return
    paper.ln(2)
    if paper.will_page_break(18):
        paper.add_page()
    _line(paper, section.title, 10, bold=True)
    paper.set_font("DejaVu", size=7.5)
    paper.set_text_color(*_INK)
    head = FontFace(emphasis="BOLD", fill_color=_RULE)
    with paper.table(
        headings_style=head,
        line_height=4,
        padding=0.8,
        borders_layout="HORIZONTAL_LINES",
        text_align="LEFT",
        col_widths=_widths(section),
    ) as table:
        for cells in (section.columns, *section.rows):
            row = table.row()
            for cell in cells:
                row.cell(cell or " ")
    if section.more:
        _line(paper, section.more, 8)


def _widths(section: Section) -> tuple[int, ...]:
    """Shares by the longest cell, so that no column starves."""
    longest = (max(len(row[column]) for row in (section.columns, *section.rows)) for column in range(len(section.columns)))
    return tuple(min(max(length, 8), 42) for length in longest)


def _line(paper: _Paper, text: str, size: float, *, bold: bool = False) -> None:
    paper.set_font("DejaVu", "B" if bold else "", size)
    paper.set_text_color(*(_INK if bold else _GREY))
    paper.multi_cell(0, size * 0.5, text, new_x=XPos.LMARGIN, new_y=YPos.NEXT, align="L")
