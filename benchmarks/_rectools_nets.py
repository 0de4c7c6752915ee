"""Nets of `rectools` as `_sequence_models` wants them: no bars, logs or checkpoints.

Input: a table of events with the columns of `rectools`, ids being positions.
Output: scores (n_users, n_items) of the last items of users.

On one processor most of the package's time goes into the loss. Three changes make fits
several times as fast and, but for rounding, change no result: the loss is
computed for events alone, not for the padding of short sequences, which counts nothing;
its gradient is a product of sparse matrices; and the memory of a step is kept for the
next.
"""

import ctypes
import logging
import warnings

import numpy as np
import pytorch_lightning as lightning
import torch
from rectools.dataset import Dataset
from rectools.models import HSTUModel, SASRecModel
from rectools.models.nn.item_net import IdEmbeddingsItemNet
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.ligr import LiGRLayers
from rectools.models.nn.transformers.similarity import DistanceSimilarityModule
from scipy import sparse


class WithoutPadding(TransformerLightningModule):
    """The package's training, its loss computed for events alone."""

    def get_batch_logits(self, batch):
        """Return logits (1, n_events, 1 + n_negatives) of the events of a batch."""
        net, is_event = self.torch_model, batch["y"] != 0
        items = net.item_model.get_all_embeddings()
        sequences = net.encode_sessions(batch, items)[is_event]
        candidates = torch.cat([batch["y"].unsqueeze(-1), batch["negatives"]], -1)
        found = net.similarity_module(
            sequences.unsqueeze(0), items, candidates[is_event].unsqueeze(0)
        )
        return found / self.logits_t

    def training_step(self, batch, batch_idx):
        """Return the loss of a batch."""
        logits, is_event = self.get_batch_logits(batch), batch["y"] != 0
        own = (batch[name][is_event].unsqueeze(0) for name in ("y", "yw"))
        return self.loss_calculator(logits, *own)


class SampledProducts(torch.autograd.Function):
    """Products (n_events, n_candidates) of vectors of events and of their candidates.

    ``events`` (n_events, d), ``items`` (n_items, d), ``candidates``: their positions.
    """

    @staticmethod
    def forward(ctx, events, items, candidates):
        ctx.save_for_backward(events, items, candidates)
        chosen = torch.nn.functional.embedding(candidates, items)
        return torch.bmm(events.unsqueeze(1), chosen.transpose(1, 2)).squeeze(1)

    @staticmethod
    def backward(ctx, gradient):
        events, items, candidates = ctx.saved_tensors
        ends = np.arange(0, candidates.numel() + 1, candidates.shape[1])
        weights = sparse.csr_matrix(
            (gradient.numpy().ravel(), candidates.numpy().ravel(), ends),
            shape=(len(events), len(items)),
        )
        of_events, of_items = weights @ items.numpy(), weights.T @ events.numpy()
        return torch.from_numpy(of_events), torch.from_numpy(of_items), None


class SparseSimilarity(DistanceSimilarityModule):
    """The package's products or cosines, with the gradient of `SampledProducts`."""

    def _get_pos_neg_logits(self, session_embs, item_embs, candidate_item_ids):
        # a batch of one sequence, as `WithoutPadding` calls it
        found = SampledProducts.apply(session_embs[0], item_embs, candidate_item_ids[0])
        return found.unsqueeze(0)


class EpochEnds(lightning.Callback):
    """Calls a function with the number of epochs done; stops if it returns True."""

    def __init__(self, ends):
        self.ends = ends

    def __deepcopy__(self, memo):
        return self  # the package copies the trainer, the model must not be copied

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = bool(self.ends(trainer.current_epoch + 1))


def sasrec(params, **more):
    """Return a model of SASRec, with the sampled softmax."""
    return SASRecModel(**_common(params), **more)


def esasrec(params):
    """Return a model of eSASRec: SASRec with LiGR layers, and masked padding."""
    return sasrec(params, transformer_layers_type=LiGRLayers, use_key_padding_mask=True)


def hstu(params):
    """Return a model of HSTU: cosines divided by .05, as in its authors' code."""
    reads_times = params.pop("reads_times")
    return HSTUModel(
        **_common(params),
        relative_time_attention=reads_times,
        relative_pos_attention=True,
        lightning_module_kwargs={"logits_t": 0.05},
    )


def _common(params):
    return params | {
        "loss": "sampled_softmax",
        "item_net_block_types": (IdEmbeddingsItemNet,),
        "lightning_module_type": WithoutPadding,
        "similarity_module_type": SparseSimilarity,
        "recommend_torch_device": "cpu",
    }


def train(model, events, epoch_ends):
    """Fit a model on a table of events; ``epoch_ends(n)`` says whether that is all."""
    _keep_memory()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.manual_seed(0)  # draws weights, negatives, the order of users, dropout
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model._trainer = lightning.Trainer(
            max_epochs=model.epochs,
            min_epochs=1,
            accelerator="cpu",
            devices=1,
            callbacks=[EpochEnds(epoch_ends)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        model.fit(Dataset.construct(events))


def _keep_memory():
    """Let the process keep what it frees: to get it anew costs a third of a fit."""
    trim_threshold, mmap_max = -1, -4  # numbers of glibc's malloc.h
    libc = ctypes.CDLL(None)
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 1 << 30)


def scores(model, n_items, items, times=None):
    """Return scores of the catalog (n_users, n_items) after the last items of users.

    ``items`` (n_users, session_max_len): positions, -1 before a user's first event. An
    item that the net lacks, since no sequence of training holds it, has -inf.
    """
    known = model.data_preparator.get_known_item_ids().astype(int)
    place = np.zeros(n_items + 1, dtype=np.int64)  # the last: of -1
    place[known] = np.arange(1, len(known) + 1)  # 0 is for padding
    batch = {"x": torch.as_tensor(place[items])}
    if times is not None:
        batch["unix_ts"] = torch.as_tensor(times)
    net, was_training = model.torch_model, model.torch_model.training
    net.eval()
    with torch.inference_mode():
        vectors = net.item_model.get_all_embeddings()
        last = net.encode_sessions(batch, vectors)[:, -1:]
        catalog = vectors[torch.as_tensor(place[:-1])]
        found = net.similarity_module(last, catalog)[:, 0].numpy()
    net.train(was_training)
    found[:, place[:-1] == 0] = -np.inf
    return found
