"""Result objects as DICOM."""
