"""Coded concepts of the result objects, under the template or context group that allows them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

# Report frame: TID 1500, 1204, 1002
IMAGING_MEASUREMENT_REPORT = Code("126000", "DCM", "Imaging Measurement Report")
LANGUAGE = Code("121049", "DCM", "Language of Content Item and Descendants")
ENGLISH = Code("en-US", "RFC5646", "English (United States)")
PROCEDURE_REPORTED = Code("121058", "DCM", "Procedure reported")
MAMMOGRAPHY = Code("71651007", "SCT", "Mammography")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
IMAGING_MEASUREMENTS = Code("126010", "DCM", "Imaging Measurements")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
MEASUREMENT_GROUP = Code("125007", "DCM", "Measurement Group")
CONCLUSION = Code("121077", "DCM", "Conclusion")
COMMENT = Code("121106", "DCM", "Comment")

# Observer: TID 1004
OBSERVER_TYPE = Code("121005", "DCM", "Observer Type")
DEVICE = Code("121007", "DCM", "Device")
DEVICE_UID = Code("121012", "DCM", "Device Observer UID")
DEVICE_NAME = Code("121013", "DCM", "Device Observer Name")
DEVICE_MANUFACTURER = Code("121014", "DCM", "Device Observer Manufacturer")
DEVICE_MODEL = Code("121015", "DCM", "Device Observer Model Name")
DEVICE_SERIAL = Code("121016", "DCM", "Device Observer Serial Number")

# Image library entry: TID 1601 to 1603
MODALITY = Code("121139", "DCM", "Modality")
MODALITY_MG = Code("MG", "DCM", "Mammography")
IMAGE_LATERALITY = Code("111027", "DCM", "Image Laterality")
IMAGE_VIEW = Code("111031", "DCM", "Image View")
PIXEL_ROWS = Code("110910", "DCM", "Pixel Data Rows")
PIXEL_COLUMNS = Code("110911", "DCM", "Pixel Data Columns")

# Measurement group: TID 1501, 1410, 1419, 4019, 4108
TRACKING_ID = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID = Code("112040", "DCM", "Tracking Unique Identifier")
FINDING_CATEGORY = Code("276214006", "SCT", "Finding category")
ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
FINDING = Code("121071", "DCM", "Finding")
ENHANCING_LESION = Code("C113842", "NCIt", "Enhancing Lesion")  # CID 7159
FINDING_SITE = Code("363698007", "SCT", "Finding Site")
BREAST = Code("76752008", "SCT", "Breast")
LATERALITY = Code("272741003", "SCT", "Laterality")
SOURCE_OF_MEASUREMENT = Code("121112", "DCM", "Source of Measurement")
IMAGE_REGION = Code("111030", "DCM", "Image Region")
ALGORITHM_NAME = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION = Code("111003", "DCM", "Algorithm Version")
ALGORITHM_PARAMETERS = Code("111002", "DCM", "Algorithm Parameters")
ALGORITHM_FAMILY = Code("111000", "DCM", "Algorithm Family")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")

AREA = Code("42798000", "SCT", "Area")
LONG_AXIS = Code("103339001", "SCT", "Long Axis")
PROBABILITY_OF_CANCER = Code("111047", "DCM", "Probability of cancer")
MM2 = Code("mm2", "UCUM", "square millimeter")
MM = Code("mm", "UCUM", "millimeter")
PERCENT = Code("%", "UCUM", "percent")
PIXELS = Code("{pixels}", "UCUM", "pixels")

# What became of the analysis: CID 6047, 6042
PROCESSING_SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
ALL_WITHOUT_FINDINGS = Code("111241", "DCM", "All algorithms succeeded; without findings")
ALL_WITH_FINDINGS = Code("111242", "DCM", "All algorithms succeeded; with findings")
SOME_WITHOUT_FINDINGS = Code("111243", "DCM", "Not all algorithms succeeded; without findings")
SOME_WITH_FINDINGS = Code("111244", "DCM", "Not all algorithms succeeded; with findings")
NONE_SUCCEEDED = Code("111245", "DCM", "No algorithms succeeded; without findings")
SUMMARY_OF_ANALYSES = Code("111065", "DCM", "Summary of Analyses")
SUCCEEDED = Code("111222", "DCM", "Succeeded")
PARTIALLY_SUCCEEDED = Code("111223", "DCM", "Partially Succeeded")
FAILED = Code("111224", "DCM", "Failed")
NOT_ATTEMPTED = Code("111225", "DCM", "Not Attempted")

IMPRESSION = Code("111023", "DCM", "Differential Diagnosis/Impression")
DECISIONS: Mapping[str, Code] = MappingProxyType(
    {  # CID 6063
        "malignant": Code("21594007", "SCT", "Malignant"),
        "benign": Code("30807003", "SCT", "Benign"),
        "indeterminate": Code("280416009", "SCT", "Indeterminate"),
    }
)

# Key Object Selection: TID 2010, CID 7010
OF_INTEREST = Code("113000", "DCM", "Of Interest")
KEY_OBJECT_DESCRIPTION = Code("113012", "DCM", "Key Object Description")

# Purpose of a reference from a derived image: CID 7202
SOURCE_IMAGE = Code("121322", "DCM", "Source Image for Image Processing Operation")
# Mammography CAD report: TID 4000 to 4021
MAMMOGRAPHY_CAD_REPORT = Code("111036", "DCM", "Mammography CAD Report")
VIEW_MODIFIER = Code("111032", "DCM", "Image View Modifier")
ORIENTATION_ROW = Code("111044", "DCM", "Patient Orientation Row")
ORIENTATION_COLUMN = Code("111043", "DCM", "Patient Orientation Column")
STUDY_DATE = Code("111060", "DCM", "Study Date")
STUDY_TIME = Code("111061", "DCM", "Study Time")
HORIZONTAL_SPACING = Code("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_SPACING = Code("111066", "DCM", "Vertical Pixel Spacing")
MICROMETRE = Code("um", "UCUM", "micrometer")
IMPRESSION_DESCRIPTION = Code("111033", "DCM", "Impression Description")
INDIVIDUAL_IMPRESSION = Code("111034", "DCM", "Individual Impression/Recommendation")
RENDERING_INTENT = Code("111056", "DCM", "Rendering Intent")
PRESENTATION_REQUIRED = Code(
    "111150", "DCM", "Presentation Required: Rendering device is expected to present"
)
COMPOSITE_FEATURE = Code("111015", "DCM", "Composite Feature")
BREAST_MASS = Code("129788004", "SCT", "Mammographic breast mass")  # CID 6016 alone has it
COMPOSITE_TYPE = Code("111016", "DCM", "Composite Type")
SPATIALLY_RELATED = Code("111154", "DCM", "Target content items are related spatially")
SCOPE_OF_FEATURE = Code("111057", "DCM", "Scope of Feature")
ON_MULTIPLE_IMAGES = Code("111158", "DCM", "Feature detected on multiple images")
SINGLE_IMAGE_FINDING = Code("111059", "DCM", "Single Image Finding")
# CID 6014 has no mass: this is its code for the density that a mass is on a single image.
BREAST_DENSITY = Code("129793001", "SCT", "Mammography breast density")
CENTER = Code("111010", "DCM", "Center")
OUTLINE = Code("111041", "DCM", "Outline")
PATH = Code("121055", "DCM", "Path")
SUMMARY_OF_DETECTIONS = Code("111064", "DCM", "Summary of Detections")
SUCCESSFUL_DETECTIONS = Code("111063", "DCM", "Successful Detections")
FAILED_DETECTIONS = Code("111025", "DCM", "Failed Detections")
DETECTION_PERFORMED = Code("111022", "DCM", "Detection Performed")
SUCCESSFUL_ANALYSES = Code("111062", "DCM", "Successful Analyses")
ANALYSIS_PERFORMED = Code("111004", "DCM", "Analysis Performed")
IMPRESSION_ANALYSIS = Code(  # CID 6043
    "111233", "DCM", "Individual Impression / Recommendation Analysis"
)

# Equipment: CID 7005
ACQUISITION_EQUIPMENT = Code("109101", "DCM", "Acquisition Equipment")
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")

SIDES: Mapping[str, Code] = MappingProxyType(
    {  # CID 244
        "R": Code("24028007", "SCT", "Right"),
        "L": Code("7771000", "SCT", "Left"),
    }
)

BREASTS: Mapping[str, Code] = MappingProxyType(
    {  # CID 6022
        "R": Code("73056007", "SCT", "Right breast"),
        "L": Code("80248007", "SCT", "Left breast"),
    }
)

# CID 4014, keyed by the SNOMED CT code as well as by the SNOMED RT code of older devices.
_VIEWS = (
    ("399162004", "R-10242", "cranio-caudal"),
    ("399368009", "R-10226", "medio-lateral oblique"),
    ("399260004", "R-10224", "medio-lateral"),
    ("399352003", "R-10228", "latero-medial"),
    ("399099002", "R-10230", "latero-medial oblique"),
    ("399192008", "R-1024A", "cranio-caudal exaggerated laterally"),
    ("399101009", "R-1024B", "cranio-caudal exaggerated medially"),
    ("399196006", "R-10244", "caudo-cranial (from below)"),
    ("399188001", "R-102D0", "superolateral to inferomedial oblique"),
    ("441555000", "R-40AAA", "inferomedial to superolateral oblique"),
)
VIEWS: Mapping[str, Code] = MappingProxyType(
    {key: Code(sct, "SCT", meaning) for sct, srt, meaning in _VIEWS for key in (sct, srt)}
)


# CID 4015, keyed alike.
_VIEW_MODIFIERS = (
    ("399161006", "R-102D2", "Cleavage"),
    ("399011000", "R-102D1", "Axillary Tail"),
    ("399197002", "R-102D3", "Rolled Lateral"),
    ("399226006", "R-102D4", "Rolled Medial"),
    ("414493004", "R-102CA", "Rolled Inferior"),
    ("415670009", "R-102C9", "Rolled Superior"),
    ("399209000", "R-102D5", "Implant Displaced"),
    ("399163009", "R-102D6", "Magnification"),
    ("399055006", "R-102D7", "Spot Compression"),
    ("399110001", "R-102C2", "Tangential"),
)
VIEW_MODIFIERS: Mapping[str, Code] = MappingProxyType(
    {key: Code(sct, "SCT", meaning) for sct, srt, meaning in _VIEW_MODIFIERS for key in (sct, srt)}
)


def code_item(code: Code) -> Dataset:
    """``code`` as an item of a code sequence (PS3.3 table 8.8-1)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item
