from pathlib import Path

import pytest
import torch

from pc_ssl.data.cache import Cache, Manifest, write_manifest
from pc_ssl.data.dataset import CacheScenes
from pc_ssl.data.sampler import Draw
from pc_ssl.engine.clip_teacher import ClipTeacher, TeacherOptions, make_clip, make_tokenizer, train_clip_teacher
from pc_ssl.errors import UserError
from pc_ssl.models.clip import MaskClip
from pc_ssl.models.prompts import TEMPLATES
from pc_ssl.structures import SensorBatch
from pc_ssl.views.camera import ImageAugmentation
from pc_ssl.views.sensors import SensorViews

OPTIONS = TeacherOptions(steps=3, hidden=16, layers=1, channels=8, width=80, height=48)


def test_a_trained_teacher_is_a_clip_like_any_other(street_cache: Cache, tmp_path: Path) -> None:
    train_clip_teacher(street_cache, tmp_path / "teacher", OPTIONS, device="cpu")
    clip = MaskClip(str(tmp_path / "teacher"), street_cache.class_names[1:])
    assert clip.text.shape == (16, 8)
    assert clip.patch == 8
    assert not (tmp_path / "teacher" / "unfinished").exists()
    first = (tmp_path / "teacher" / "model.safetensors").read_bytes()
    train_clip_teacher(street_cache, tmp_path / "again", OPTIONS, device="cpu")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == first


def test_every_word_of_every_sentence_has_an_id() -> None:
    names = ["traffic cone", "car"]
    tokenizer = make_tokenizer(names)
    for name in names:
        for template in TEMPLATES:
            ids = tokenizer(template.format(name))["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokenizer("a zebra")["input_ids"][2] == tokenizer.unk_token_id


def test_a_sentence_is_read_after_the_name_of_its_class() -> None:
    tokenizer = make_tokenizer(["car", "bus"])
    sentences = [[template.format(name) for template in TEMPLATES] for name in ("car", "bus")]
    car, bus = (tokenizer(of_class, padding=True, return_tensors="pt") for of_class in sentences)
    text = make_clip(OPTIONS, len(tokenizer), car["input_ids"].shape[1]).text_model.eval()
    assert (text(**car).pooler_output != text(**bus).pooler_output).any(dim=1).all()


def test_patches_get_the_class_of_most_of_their_points(street_cache: Cache) -> None:
    views = SensorViews(images=ImageAugmentation(80, 48, (1.0, 1.0), rotation=0.0), label=True, pairs=True)
    dataset = CacheScenes(street_cache, [0, 1], None, views)
    batch = SensorBatch.pack([dataset[Draw(row, 0, 0)] for row in range(2)])
    tokenizer = make_tokenizer(["car"])
    teacher = ClipTeacher(
        make_clip(OPTIONS, len(tokenizer), 20), torch.zeros(16, 1, 1).long(), torch.ones(16, 1, 1).long(), views
    )
    patch, label = teacher.labelled_patches(batch)
    votes: dict[int, list[int]] = {}
    assert batch.pairs is not None
    assert batch.label is not None
    for point, camera, (u, v) in zip(
        batch.pairs.point.tolist(), batch.pairs.camera.tolist(), batch.pairs.pixel.tolist(), strict=True
    ):
        if batch.label[point] > 0:
            votes.setdefault(camera * 60 + int(v // 8) * 10 + int(u // 8), []).append(int(batch.label[point]) - 1)
    assert patch.tolist() == sorted(votes)
    for number, found in zip(patch.tolist(), label.tolist(), strict=True):
        assert votes[number].count(found) == max(votes[number].count(other) for other in votes[number])


def test_the_loss_falls(street_cache: Cache) -> None:
    torch.manual_seed(0)
    views = SensorViews(images=ImageAugmentation(80, 48, (1.0, 1.0), rotation=0.0), label=True, pairs=True)
    dataset = CacheScenes(street_cache, [0], None, views)
    batch = SensorBatch.pack([dataset[Draw(0, 0, 0)]])
    tokenizer = make_tokenizer([name.replace("_", " ") for name in street_cache.class_names[1:]])
    sentences = [t.format(n.replace("_", " ")) for n in street_cache.class_names[1:] for t in TEMPLATES]
    encoded = tokenizer(sentences, padding=True, return_tensors="pt")
    ids, mask = (encoded[name].reshape(16, len(TEMPLATES), -1) for name in ("input_ids", "attention_mask"))
    teacher = ClipTeacher(make_clip(OPTIONS, len(tokenizer), ids.shape[2]), ids, mask, views)
    optimizer = torch.optim.AdamW(teacher.parameters(), lr=3e-3)
    losses = []
    for _ in range(20):
        terms = teacher(batch)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
        losses.append(float(terms["loss"].detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_a_cache_without_labels_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path, Manifest("toy", "1", {}, {"label": [], "box": []}, {"train": []}, ()))
    with pytest.raises(UserError, match=r"manifest\.json: classes\.label is empty"):
        train_clip_teacher(Cache(tmp_path), tmp_path / "out", OPTIONS, device="cpu")
