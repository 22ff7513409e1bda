"""Names of anatomical structures in FADA's answers, with what else they are called.

Canonical names by region, and which words are one thing: FADA's account of its
normalisation (docs/experiments/annotation_normalization.md) and its scorer's
synonyms, of which the unsure ones (head for skull, belly for its wall) are kept.
"""

from __future__ import annotations

STRUCTURES: dict[str, tuple[str, ...]] = {
    # skull and brain
    "fetal skull": ("skull", "calvarium", "calvarial bones", "calvarial bone", "calverial bones", "cranium"),
    "brain": ("cerebrum", "intracranial structures", "brain parenchyma"),
    "thalami": ("thalamus",),
    "third ventricle": ("3rd ventricle",),
    "lateral ventricle": ("lateral cerebral ventricle",),
    "cerebral cortex": ("cortex",),
    "cerebral peduncle": (),
    "cerebellum": ("cerebellar hemisphere",),
    "cisterna magna": (),
    "cavum septum pellucidum": ("cavum septi pellucidi", "CSP"),
    "falx cerebri": ("falx", "interhemispheric fissure", "midline falx"),
    "vermis": ("cerebellar vermis",),
    "choroid plexus": ("choroid",),
    "superior sagittal sinus": (),
    "corpus callosum": (),
    "parieto-occipital lobe": (),
    "frontoparietal lobe": (),
    # face and neck
    "facial profile": ("profile", "fetal profile"),
    "facial bones": ("facial bone",),
    "nasal bone": (),
    "frontal bone": (),
    "orbit": ("eye",),
    "nose": (),
    "mouth": (),
    "mandible": (),
    "upper lip": ("lip",),
    "nuchal translucency": ("NT",),
    "nuchal fold": (),
    "neck": ("head and neck",),
    # thorax
    "heart": ("fetal heart", "cardiac structures", "four chambers of heart", "four chambers of the heart"),
    "lung": ("fetal lung",),
    "aorta": ("descending aorta",),
    "inferior vena cava": ("IVC", "vena cava"),
    "diaphragm": (),
    "rib": ("rib cage",),
    "chest": ("thorax", "chest wall"),
    # abdomen
    "abdomen": ("abdominal wall", "abdominal area", "belly"),
    "liver": (),
    "umbilical vein": (),
    "portal vein": (),
    "stomach": ("stomach bubble", "gastric bubble"),
    "spleen": (),
    "kidney": (),
    "gallbladder": ("gall bladder",),
    "suprarenal gland": ("adrenal gland",),
    "bladder": ("urinary bladder",),
    "umbilical cord": ("umbilical",),
    "lumbar vertebra": ("lumbar vertebrae",),
    # femur
    "femur": ("diaphysis of femur", "femoral diaphysis", "femoral shaft", "shaft of femur", "thigh bone"),
    "thigh muscle": ("thigh muscles", "muscles of the thigh"),
    "skin": ("subcutaneous tissue", "skin and subcutaneous tissue"),
    "soft tissue": (),
    # cervix
    "internal os": (),
    "external os": (),
    "cervical canal": ("endocervical canal",),
    "cervix": ("uterine cervix",),
    # general
    "fetal head": ("head",),
    "spine": ("fetal spine", "spinal column", "vertebral column", "vertebra", "vertebrae", "vertebrea"),
    "amniotic fluid": ("amnitoic fluid", "liquor"),
    "amnion": ("amniotic sac", "amniotic membrane"),
    "placenta": (),
    "symphysis pubis": ("pubic symphysis", "symphysis", "symphsis pubis"),
    "pelvis": (),
    "limb": ("extremity", "extremities"),
}
"""Canonical name to other names of the same thing; see :mod:`suture.vocabulary`."""
