"""Tiny random models of audio and vision, made in the test, and what they read."""

from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

AUDIO = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
WAV2VEC2 = (
    AUDIO
    | {"conv_dim": (12, 12), "conv_kernel": (6, 3), "conv_stride": (3, 2), "num_feat_extract_layers": 2}
    | {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4, "vocab_size": 30, "apply_spec_augment": False}
)
WHISPER = {"vocab_size": 40, "num_mel_bins": 8, "d_model": 16, "max_source_positions": 20, "max_target_positions": 20}
WHISPER |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
for part in ("encoder", "decoder"):
    WHISPER |= {f"{part}_layers": 1, f"{part}_attention_heads": 2, f"{part}_ffn_dim": 24}
RESNET = {
    "embedding_size": 8,
    "hidden_sizes": [12, 16],
    "depths": [1, 2],
    "layer_type": "bottleneck",
    "num_channels": 3,
}
# By name: class, settings of its configuration, and the shape of a batch that it reads.
ENCODERS: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "resnet": ("ResNetForImageClassification", RESNET, (2, 3, 32, 32)),
    "convnext": ("ConvNextModel", {"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2}, (2, 3, 32, 32)),
    "vit": ("ViTModel", AUDIO | {"image_size": 32, "patch_size": 8}, (2, 3, 32, 32)),
    "wav2vec2": ("Wav2Vec2Model", WAV2VEC2, (2, 200)),
    "whisper": ("WhisperForConditionalGeneration", WHISPER, (2, 8, 40)),
}


def encoder(name: str = "resnet", seed: int = 0, **changes) -> PreTrainedModel:
    """Return a random model in evaluation mode."""
    kind, settings, _ = ENCODERS[name]
    found = getattr(transformers, kind)
    torch.manual_seed(seed)
    return found(found.config_class(**(settings | changes))).eval()


@torch.no_grad()
def answer(model: PreTrainedModel, name: str = "resnet") -> Tensor:
    """Return what a model makes of a batch that is always the same."""
    batch = torch.randn(ENCODERS[name][2], generator=torch.Generator().manual_seed(1))
    more = {"decoder_input_ids": torch.ones(2, 3, dtype=torch.long)} if name == "whisper" else {}
    return model(batch, **more)[0]
