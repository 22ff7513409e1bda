"""The tokenizer of the small models: byte-level BPE learnt from a fixed list of words.

The words are the domain's, never a dataset's: models trained on different data
share one vocabulary, so that a base and what was trained from it fit together.
Any other text is still representable, in more tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

VOCABULARY = 2000

TEXT = """
system user assistant
You are a vision language model specialized in analyzing medical videos and images. Answer the question.
Which surgical phase is shown in this clip? What is the current phase of the surgery? The phase is not idle.
What phase of the cataract surgery does the video show? This is the phase. The surgeon is performing the step.
incision viscoelastic capsulorhexis hydrodissection phacoemulsification irrigation aspiration capsule polishing
pulishing lens implantation positioning suction anterior chamber flushing tonifying antibiotics idle
Which anatomical structures are visible? Which structures can be seen in the eye? The visible structures are none.
cornea pupil iris lens sclera conjunctiva retina vitreous anatomy anatomical structure structures eye
Which instruments are visible? What surgical instruments are being used? Which tools are in use? No instrument is.
slit knife incision knife gauge phacoemulsification tip spatula irrigation-aspiration lens injector cannula
capsulorhexis forceps capsulorhexis cystotome katena forceps handpiece instrument instruments tool tools
Where is the instrument relative to the pupil? left right above below inside outside near of it to overlapping with
upper lower top bottom centre center middle side larger smaller overlaps touches region frame image corner
In the image the instruments lie in relation to the reference; seen from the pupil, describe where each lies.
Name the parts of the eye that are in sight. What instruments is the surgeon using in this video?
How many are there? zero one two three four five six seven eight nine ten many number count both several
yes no true false present absent visible shown seen used during and or the a an is are in on at by for from with
what which where when how who does do did can this that these those there it its there be been has have
gallbladder liver omentum cystic plate duct artery vein abdominal wall cavity peritoneum gut specimen bag blood vessel
fluid grasper bipolar hook scissors clipper irrigator aspirate clip coagulate cut dissect grasp irrigate null pack
retract color type location component red green blue yellow white silver brown black gold
colonoscopy polyp endoscopy bowel stomach colon lesion normal mucosa movement camera still moving size shape
colonoscope catheter snare injection resection flushing water occlusion lighting motion forward backward
fetal ultrasound plane head brain abdomen femur thorax heart cervix spine kidney chest standard view maternal
findings impression lungs clear pleural effusion pneumothorax cardiomegaly opacity consolidation edema atelectasis
radiograph acute cardiopulmonary process mild moderate severe unchanged small large bilateral heart size mediastinal
"""

ULTRASOUND = """
Identify and describe all anatomical structures visible in the image. Anatomical Structures Identification:
Determine the orientation of the fetus based on the image (e.g., head up/down, front/back view). Fetal Orientation:
Assess if the image is taken at a standard diagnostic plane and describe its diagnostic relevance. Plane Evaluation:
Identify any measurable biometric parameters (e.g., femur length, head circumference) from the image. Biometric
Estimate the gestational age of the fetus based on the visible features. Gestational Age: weeks measurements
Assess the quality of the ultrasound image, mentioning any factors that might affect its interpretation (e.g.,
clarity, artifacts). Image Quality: good medium low image quality
Determine whether the observed structures appear normal or identify any visible abnormalities or concerns.
Normality / Abnormality: normal abnormal hyperechoic focus
Provide any relevant clinical recommendations or suggested next steps based on your interpretation. Clinical
Recommendations: prenatal routine monitoring complete anomaly scan follow up repeat with a better view
cephalic breech transverse oblique longitudinal sagittal coronal presentation fetal head to the right left plane
view measurable diameter circumference thickness dimensions length cardiac chamber aortic heart aorta liver stomach
spine skull thalami falx cerebri choroid plexus umbilical vein lung rib femur thigh muscle skin facial profile
nuchal translucency nasal bone trans-abdominal trans-thalamic mid-sagittal 4-chamber
"""
"""Words of obstetric ultrasound, for models that hear its long questions: a word is a token, not its letters."""


def _phrases(text: str) -> list[str]:
    # Answers start lower or upper, at a line's start or after a blank: each form becomes a token.
    forms: list[str] = ["\n\n"]  # one token, as in the published tokenizers
    for line in text.strip().splitlines():
        forms.append(line)
        for word in line.split():
            forms += [f"{blank}{form}" for blank in ("", " ") for form in (word.lower(), word.capitalize())]
    return forms


def build(special_tokens: Sequence[str], *, more: str = "", domain: str = "") -> Any:
    """Trains the tokenizer: no randomness, the same merges each time.

    Args:
        special_tokens: tokens of the model's own, with the ids 0, 1, 2, ...
        more: words of the family's chat template.
        domain: lines of a domain's own, beside :data:`TEXT`.

    Returns:
        A ``tokenizers.Tokenizer``.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=1,
        special_tokens=list(special_tokens),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_phrases(TEXT + domain) + more.split(), trainer)
    return tokenizer
