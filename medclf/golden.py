"""Texts of our own whose logits every bundle records, so that a bundle can be checked anywhere without data.

Frozen: a bundle that was written before a change would no longer verify.
"""

TEXTS = (
    "A",
    "No acute distress.",
    "Chest pain relieved by nitroglycerin; ECG showed ST depression in leads V4-V6.",
    "The patient was given 40 mg of prednisone daily for 5 days, then tapered.",
    "Biopsy of the left breast: invasive ductal carcinoma, grade 2, ER+/PR+, HER2-.",
    "Blood pressure 182/104 mmHg, heart rate 96/min, temperature 38.6 °C, SpO2 91 %.",
    "Crohn's disease - naïve to anti-TNF-α agents - was confirmed by ileo-colonoscopy.",
    "A literal [SEP] or [CLS] in a note is text, never a separator.",
    "Randomised, double-blind, placebo-controlled trial of metformin in 412 adults with type 2 diabetes: the primary "
    "outcome was the change in HbA1c after 24 weeks; secondary outcomes were weight, glucose and adverse events.",
    "Follow-up was uneventful. " * 40,
)
