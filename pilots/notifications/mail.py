"""A delivery as mail, by the SMTP server of the settings. [operation]"""

from __future__ import annotations

import smtplib

from django.conf import settings
from django.core.mail import EmailMessage, get_connection

from pilots.models import Delivery
from pilots.notifications.ways import REPEAT_WORDS, NotDelivered


def send_mail(delivery: Delivery) -> str:
    """The mail server has taken it; returns that in a sentence. Raises NotDelivered.

    The Message-ID is the delivery's: a repeat is the same mail again.
    """
    if not settings.EMAIL_HOST:
        raise NotDelivered("No mail server is set: INVADE_SMTP_HOST is empty.", permanent=True)
    body = f"{REPEAT_WORDS}\n\n{delivery.body}" if delivery.repeated else delivery.body
    headers = {"Message-ID": f"<{delivery.pk}@{settings.INSTALLATION}>", "Auto-Submitted": "auto-generated"}
    mail = EmailMessage(delivery.subject, body, to=[delivery.address], headers=headers, connection=get_connection())
    try:
        mail.send()
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        raise NotDelivered(f"The mail server answered {error.smtp_code}: {said}", permanent=error.smtp_code >= 550) from error
    except smtplib.SMTPRecipientsRefused as error:
        code, words = next(iter(error.recipients.values()))
        raise NotDelivered(f"The mail server refused the address: {code} {words!r}", permanent=code >= 550) from error
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise NotDelivered(f"The mail server cannot be used: {error or type(error).__name__}") from error
    return f"Taken by {settings.EMAIL_HOST}."
