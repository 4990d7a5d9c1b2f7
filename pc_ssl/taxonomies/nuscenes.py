"""nuScenes: the classes of its lidarseg challenge, detection task and map segmentation, and its attributes."""

from __future__ import annotations

from pc_ssl.taxonomies.taxonomy import IGNORE, NO_ATTRIBUTE, Taxonomy

_DETECTED = (
    *("car", "truck", "bus", "trailer", "construction_vehicle", "pedestrian", "motorcycle", "bicycle"),
    *("traffic_cone", "barrier"),
)

NUSCENES = Taxonomy(
    # those of the nuScenes-lidarseg challenge in the devkit's order; 0 takes every category without a class here
    label_classes=(
        *(IGNORE, "barrier", "bicycle", "bus", "car", "construction_vehicle", "motorcycle", "pedestrian"),
        *("traffic_cone", "trailer", "truck", "driveable_surface", "other_flat", "sidewalk", "terrain", "manmade"),
        "vegetation",
    ),
    # the detection task's ten in the devkit's order; "other" takes boxes that the task leaves out (animals, strollers,
    # debris, ...), except racks: the devkit ignores the bicycles in them
    box_classes=(*_DETECTED, "other", "bicycle_rack"),
    detected_classes=_DETECTED,
    # tianweiy/CenterPoint, configs/nusc
    box_groups=(
        *(("car",), ("truck", "construction_vehicle"), ("bus", "trailer"), ("barrier",)),
        *(("motorcycle", "bicycle"), ("pedestrian", "traffic_cone")),
    ),
    small_classes=("pedestrian", "traffic_cone"),  # mit-han-lab/bevfusion, configs/nuscenes/det/transfusion
    attributes=(
        *(NO_ATTRIBUTE, "pedestrian.moving", "pedestrian.sitting_lying_down", "pedestrian.standing"),
        *("cycle.with_rider", "cycle.without_rider", "vehicle.moving", "vehicle.parked", "vehicle.stopped"),
    ),
    # The rule of CenterPoint's reference code (tianweiy/CenterPoint, det3d/datasets/nuscenes/nuscenes.py), completed by
    # the attribute that is most frequent in nuScenes: a vehicle at rest is parked, a bus stopped.
    attribute_of_class={
        **dict.fromkeys(("car", "truck", "trailer", "construction_vehicle"), ("vehicle.moving", "vehicle.parked")),
        "bus": ("vehicle.moving", "vehicle.stopped"),
        **dict.fromkeys(("motorcycle", "bicycle"), ("cycle.with_rider", "cycle.without_rider")),
        "pedestrian": ("pedestrian.moving", "pedestrian.standing"),
    },
    # those of BEVFusion's and CALICO's map segmentation
    map_classes=("drivable_area", "ped_crossing", "walkway", "stop_line", "carpark_area", "divider"),
    # points and boxes agree wherever both have the class
    class_of_category={
        "human.pedestrian.adult": "pedestrian",
        "human.pedestrian.child": "pedestrian",
        "human.pedestrian.police_officer": "pedestrian",
        "human.pedestrian.construction_worker": "pedestrian",
        "vehicle.car": "car",
        "vehicle.motorcycle": "motorcycle",
        "vehicle.bicycle": "bicycle",
        "vehicle.bus.bendy": "bus",
        "vehicle.bus.rigid": "bus",
        "vehicle.truck": "truck",
        "vehicle.construction": "construction_vehicle",
        "vehicle.trailer": "trailer",
        "movable_object.barrier": "barrier",
        "movable_object.trafficcone": "traffic_cone",
        "static_object.bicycle_rack": "bicycle_rack",
        "flat.driveable_surface": "driveable_surface",
        "flat.other": "other_flat",
        "flat.sidewalk": "sidewalk",
        "flat.terrain": "terrain",
        "static.manmade": "manmade",
        "static.vegetation": "vegetation",
    },
)
