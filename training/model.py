"""The small model: a MiniLM encoder over question and schema, a pointer decoder over forms.

Source of the encoder: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0). The decoder's output is
one softmax over keywords and input positions (pointer networks, Vinyals et al. 2015).
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedConfig, PreTrainedModel

__all__ = ["SqlgenConfig", "SqlgenModel"]

_FAR = -1e4


class SqlgenConfig(PreTrainedConfig):  # type: ignore[misc]
    """Sizes of a SqlgenModel; ``encoder`` holds a BertConfig as a dictionary."""

    model_type = "sqlgen"

    def __init__(
        self,
        keywords: int = 83,
        hidden_size: int = 384,
        decoder_layers: int = 4,
        decoder_heads: int = 6,
        decoder_ff: int = 1024,
        max_output: int = 96,
        dropout: float = 0.1,
        encoder: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.keywords = keywords
        self.hidden_size = hidden_size
        self.decoder_layers = decoder_layers
        self.decoder_heads = decoder_heads
        self.decoder_ff = decoder_ff
        self.max_output = max_output
        self.dropout = dropout
        self.encoder = encoder or BertConfig(hidden_size=hidden_size).to_dict()


class _Attention(nn.Module):
    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(size, size)
        self.k_proj = nn.Linear(size, size)
        self.v_proj = nn.Linear(size, size)
        self.o_proj = nn.Linear(size, size)

    def split(self, x: Tensor) -> Tensor:
        return x.view(x.size(0), x.size(1), self.heads, -1).transpose(1, 2)

    def keys(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.split(self.k_proj(x)), self.split(self.v_proj(x))

    def forward(
        self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        out = F.scaled_dot_product_attention(
            self.split(self.q_proj(x)), key, value, attn_mask=mask, is_causal=causal
        )
        joined: Tensor = self.o_proj(out.transpose(1, 2).reshape(x.shape))
        return joined


class DecoderLayer(nn.Module):
    """Pre-norm: attention over the output so far, attention over the input, feed-forward."""

    def __init__(self, config: SqlgenConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.norm_self, self.norm_cross, self.norm_ff = (nn.LayerNorm(size) for _ in range(3))
        self.self_attention = _Attention(size, config.decoder_heads)
        self.cross_attention = _Attention(size, config.decoder_heads)
        self.up_proj = nn.Linear(size, config.decoder_ff)
        self.down_proj = nn.Linear(config.decoder_ff, size)
        self.dropout = nn.Dropout(config.dropout)

    def finish(self, x: Tensor, cross: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        x = x + self.dropout(self.cross_attention(self.norm_cross(x), *cross, mask=mask))
        out: Tensor = x + self.dropout(self.down_proj(F.gelu(self.up_proj(self.norm_ff(x)))))
        return out

    def forward(self, x: Tensor, cross: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        inner = self.norm_self(x)
        x = x + self.dropout(self.self_attention(inner, *self.self_attention.keys(inner), causal=True))
        return self.finish(x, cross, mask)


class SqlgenModel(PreTrainedModel):
    """Input ids [B, L] and output ids [B, T] to scores [B, T, keywords + L]."""

    config_class = SqlgenConfig
    base_model_prefix = "sqlgen"
    _supports_sdpa = True

    def __init__(self, config: SqlgenConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        encoder = BertConfig(**{k: v for k, v in config.encoder.items() if not k.startswith("_")})
        encoder._attn_implementation = "sdpa"
        self.encoder = BertModel(encoder, add_pooling_layer=False)
        self.keyword_embedding = nn.Embedding(config.keywords, size)
        self.position_embedding = nn.Embedding(config.max_output, size)
        self.pointer_input = nn.Linear(size, size)
        self.norm_input = nn.LayerNorm(size)
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm_output = nn.LayerNorm(size)
        self.pointer_query = nn.Linear(size, size)
        self.pointer_key = nn.Linear(size, size)
        self.keyword_output = nn.Linear(size, config.keywords)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)

    @property
    def decoder(self) -> list[DecoderLayer]:
        """The decoder's layers, with their type."""
        return [cast("DecoderLayer", layer) for layer in self.layers]

    def encode(self, input_ids: Tensor, attention_mask: Tensor, segments: Tensor) -> Tensor:
        """Encoder states [B, L, H]; ``segments`` is 0 over the question and 1 over the schema."""
        states: Tensor = self.encoder(
            input_ids, attention_mask=attention_mask, token_type_ids=segments
        ).last_hidden_state
        return states

    def embed_output(self, output_ids: Tensor, memory: Tensor) -> Tensor:
        """Embeddings [B, T, H]: a keyword's own, or the encoder state that is pointed at."""
        keywords = self.config.keywords
        place = (output_ids - keywords).clamp(min=0)[..., None].expand(-1, -1, memory.size(-1))
        pointed = self.pointer_input(torch.gather(memory, 1, place))
        spoken = self.keyword_embedding(output_ids.clamp(max=keywords - 1))
        return torch.where((output_ids < keywords)[..., None], spoken, pointed)

    def score(self, x: Tensor, pointer_keys: Tensor, pointable: Tensor) -> Tensor:
        """Scores over keywords, then over input positions; unpointable ones are out of reach."""
        x = self.norm_output(x)
        pointers = self.pointer_query(x) @ pointer_keys.transpose(1, 2) / math.sqrt(x.size(-1))
        pointers = pointers.masked_fill(~pointable[:, None, :], _FAR)
        return torch.cat([self.keyword_output(x), pointers], dim=-1)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        segments: Tensor,
        pointable: Tensor,
        output_ids: Tensor,
    ) -> Tensor:
        """Teacher-forced scores [B, T, keywords + L]."""
        memory = self.encode(input_ids, attention_mask, segments)
        positions = torch.arange(output_ids.size(1), device=output_ids.device)
        x = self.norm_input(self.embed_output(output_ids, memory) + self.position_embedding(positions))
        mask = attention_mask.bool()[:, None, None, :]
        for layer in self.decoder:
            x = layer(x, layer.cross_attention.keys(memory), mask)
        return self.score(x, self.pointer_key(memory), pointable)
