"""Synthetic contrast-enhanced mammography with known lesions.

| file | what it knows |
|---|---|
| `physics` | spectra, attenuation, recombination |
| `field` | the grid, reproducible random fields on it |
| `breast` | outline, thickness, gland, muscle, vessels of one view |
| `lesion` | a three-dimensional body seen in two projections |
| `image` | detector, processing for display |
| `exam` | which lesion lies in which breast |
| `write` | DICOM files with their truth |

The recipe follows the literature on in-silico mammography (Badano 2018, de Sisternes 2015,
Barufaldi 2021); nothing of those programs is used.
"""

from worker.training.phantom.exam import PhantomExam, PhantomLesion, PhantomView, phantom_exam

__all__ = ["PhantomExam", "PhantomLesion", "PhantomView", "phantom_exam"]
