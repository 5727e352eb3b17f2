"""Demo texts: customer-support messages to a shop, composed of phrases."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from zoo.data.kind import DemoData
from zoo.data.sequences import Indices, Listed

MESSAGES_A_CLASS = 160


def _messages(names: Sequence[str], seed: int) -> tuple[Listed, Indices, list[bytes]]:
    texts: list[str] = []
    for name in names:
        texts += _of_topic(name, seed)
    labels = np.repeat(np.arange(len(names), dtype=np.int64), MESSAGES_A_CLASS)
    inputs = Listed(tuple(texts), tuple(f"demo/messages text {i + 1}" for i in range(len(texts))))
    return inputs, labels, [text.encode() + b"\0" for text in texts]


def _of_topic(name: str, seed: int) -> list[str]:
    """``MESSAGES_A_CLASS`` different messages on one topic."""
    generator = random.Random(f"{seed} {name}")
    texts: dict[str, None] = {}
    while len(texts) < MESSAGES_A_CLASS:
        slots = {slot: generator.choice(words) for slot, words in _SLOTS.items()}
        core = generator.choice(_TOPICS[name]).format(**slots)
        text = " ".join((generator.choice(_OPENINGS), core, generator.choice(_CLOSINGS))).strip()
        texts[text[0].upper() + text[1:]] = None
    return list(texts)


# Openings, closings, things and times are common to all topics, so that only the matter of a
# message gives its topic away.
_OPENINGS = (
    "",
    "hello,",
    "hi there,",
    "good morning,",
    "dear team,",
    "quick question:",
    "this is the second time I write.",
    "sorry to bother you, but",
    "I am a long-standing customer.",
    "I could not find this in your FAQ:",
)
_CLOSINGS = (
    "",
    "Thanks!",
    "Please get back to me soon.",
    "Can you help?",
    "What should I do now?",
    "I would be glad of an answer today.",
    "Kind regards",
    "This is urgent.",
    "Many thanks in advance.",
)
_SLOTS: Mapping[str, Sequence[str]] = {
    "thing": [
        "headphones",
        "kettle",
        "backpack",
        "lamp",
        "keyboard",
        "jacket",
        "blender",
        "camera",
        "tent",
        "mixer",
        "speaker",
        "watch",
    ],
    "time": (
        "yesterday",
        "last week",
        "on Monday",
        "two weeks ago",
        "this morning",
        "on the 3rd",
        "over the weekend",
        "a month ago",
    ),
    "money": ("12 euros", "$49.90", "19.99", "80 pounds", "$120", "35 euros"),
    "number": ("4471", "20938", "A-1182", "77310", "B-5520", "90041"),
    "place": ("my office", "my neighbour", "the pickup point", "the old address", "my parents"),
    "device": ("my phone", "my laptop", "an older tablet", "Windows", "my new iPad", "Firefox"),
}
_TOPICS: Mapping[str, Sequence[str]] = {
    "billing": (
        "I was charged {money} twice for the {thing}.",
        "the invoice for order {number} shows the wrong amount, {money} too much.",
        "my card was declined {time}, although the bank says that everything is fine.",
        "could you send me a receipt with VAT for the {thing} that I paid {time}?",
        "there is a payment of {money} on my statement from {time} that I do not recognise.",
        "can I pay for the {thing} in instalments or by bank transfer?",
        "the discount code was not taken off the price, so I paid {money} more.",
        "please correct the company name on bill {number}.",
        "why has the monthly fee gone up by {money}?",
        "my payment for {number} is still pending since {time}.",
    ),
    "shipping": (
        "my parcel with the {thing} has not arrived, it was dispatched {time}.",
        "the tracking page for order {number} has not changed since {time}.",
        "can you deliver the {thing} to {place} instead?",
        "the courier left the package at {place} and nobody can find it.",
        "how long does delivery of a {thing} abroad take?",
        "the box was delivered {time}, but the {thing} was missing from it.",
        "do you ship order {number} by express if I order today?",
        "the driver claims that nobody was home {time}, but I waited all day.",
        "which carrier brings the {thing}, and when is it on its way?",
        "please hold shipment {number} until I am back from my trip.",
    ),
    "returns": (
        "I want to send the {thing} back, it is not what I expected.",
        "how do I return order {number}, and who pays the postage?",
        "the {thing} came with a scratch, I would like to exchange it.",
        "I mailed the {thing} back {time} and still wait for my refund of {money}.",
        "can I swap the {thing} for a bigger size?",
        "the return label for {number} does not print.",
        "is it too late to give back a {thing} that I bought {time}?",
        "you refunded only {money} for the {thing} that I returned {time}.",
        "I no longer need the {thing} and have not opened it, can I get my money back?",
        "the replacement for {number} is faulty too, so I would rather have a refund.",
    ),
    "technical": (
        "the {thing} does not switch on any more since {time}.",
        "the app crashes on {device} as soon as I open the settings.",
        "I cannot connect the {thing} to {device} over Bluetooth.",
        "after the update {time} the screen of the {thing} stays black.",
        "error {number} appears whenever I try to install the software on {device}.",
        "the battery of the {thing} is empty after an hour.",
        "your website does not load on {device}, only a blank page.",
        "how do I reset the {thing} to its factory settings?",
        "the {thing} makes a strange noise and gets hot when it runs.",
        "the firmware of the {thing} freezes during the download on {device}.",
    ),
    "account": (
        "I forgot my password, and the reset mail does not come.",
        "please change the e-mail address of my profile, customer number {number}.",
        "I cannot log in from {device} since {time}.",
        "how do I delete my account and all my personal data?",
        "somebody signed in to my profile from {device} {time}, it was not me.",
        "I have two user accounts and would like to merge them, the other is {number}.",
        "my login was locked {time} after too many attempts.",
        "how do I turn on two-factor authentication on {device}?",
        "please take me off the newsletter, customer {number}.",
        "my new surname should appear in my profile, how do I change it?",
    ),
}

MESSAGES = DemoData("demo/messages", tuple(_TOPICS), _messages)
"""800 messages, none of which is in both splits."""
