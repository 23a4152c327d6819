"""What DICOM services name by number: SOP classes, transfer syntaxes, the Push Model."""

from __future__ import annotations

from pydicom import uid

# What may be analysed or is kept beside it (For Processing, tomosynthesis).
INPUT_CLASSES: tuple[uid.UID, ...] = (
    uid.DigitalMammographyXRayImageStorageForPresentation,
    uid.DigitalMammographyXRayImageStorageForProcessing,
    uid.BreastProjectionXRayImageStorageForPresentation,
    uid.BreastProjectionXRayImageStorageForProcessing,
    uid.BreastTomosynthesisImageStorage,
)
# Supplement 243; pydicom's dictionary does not name it yet.
LABEL_MAP_SEGMENTATION_STORAGE = uid.UID("1.2.840.10008.5.1.4.1.1.66.7")
# Objects of a mixed push: refusing their contexts would make some senders abort the whole study.
IGNORED_CLASSES: tuple[uid.UID, ...] = (
    uid.SecondaryCaptureImageStorage,
    uid.MultiFrameSingleBitSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    uid.ComputedRadiographyImageStorage,
    uid.DigitalXRayImageStorageForPresentation,
    uid.DigitalXRayImageStorageForProcessing,
    uid.UltrasoundImageStorage,
    uid.UltrasoundMultiFrameImageStorage,
    uid.MRImageStorage,
    uid.CTImageStorage,
    uid.GrayscaleSoftcopyPresentationStateStorage,
    uid.ColorSoftcopyPresentationStateStorage,
    uid.PseudoColorSoftcopyPresentationStateStorage,
    uid.BlendingSoftcopyPresentationStateStorage,
    uid.KeyObjectSelectionDocumentStorage,
    uid.BasicTextSRStorage,
    uid.EnhancedSRStorage,
    uid.ComprehensiveSRStorage,
    uid.Comprehensive3DSRStorage,
    uid.MammographyCADSRStorage,
    uid.XRayRadiationDoseSRStorage,
    uid.SegmentationStorage,
    LABEL_MAP_SEGMENTATION_STORAGE,
    uid.EncapsulatedPDFStorage,
)
# Every lossless syntax in use, uncompressed first. Never deflated: 1 MB may inflate to gigabytes.
LOSSLESS_SYNTAXES: tuple[uid.UID, ...] = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.JPEGLosslessSV1,
    uid.JPEGLossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.RLELossless,
)
UNCOMPRESSED = LOSSLESS_SYNTAXES[:2]  # for everything but images
NATIVE_SYNTAXES = frozenset(LOSSLESS_SYNTAXES[:3])
# Storage Commitment: the Push Model's well-known SOP Instance, its N-ACTION (PS3.4 J.3.5, J.3.2).
PUSH_MODEL_INSTANCE = uid.UID("1.2.840.10008.1.20.1.1")
REQUEST_COMMITMENT = 1


def class_name(sop_class_uid: str) -> str:
    """Name of a SOP class as PS3.6 has it, or its UID when it is unknown.

    >>> class_name("1.2.840.10008.5.1.4.1.1.66.7")
    'Label Map Segmentation Storage'
    """
    if sop_class_uid == LABEL_MAP_SEGMENTATION_STORAGE:
        return "Label Map Segmentation Storage"
    return uid.UID(sop_class_uid).name
