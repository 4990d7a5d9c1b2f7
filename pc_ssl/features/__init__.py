"""Features of a recording's points, and what they show: colours, clusters, similar points, similar frames."""

from pc_ssl.features.analysis import KMeans, Projection, fit_kmeans, fit_projection, similarity
from pc_ssl.features.recording import Cloud, Extraction, Place, Recording, extract

__all__ = [
    "Cloud",
    "Extraction",
    "KMeans",
    "Place",
    "Projection",
    "Recording",
    "extract",
    "fit_kmeans",
    "fit_projection",
    "similarity",
]
