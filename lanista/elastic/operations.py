"""Names of aten operations, without namespace and overload, by what they do to channels."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


PLAIN_COPIES = words(
    "alias contiguous clone detach detach_ to _to_copy dropout dropout_ feature_dropout alpha_dropout lift_fresh_copy "
    "softmax log_softmax cumsum cumprod requires_grad_ bernoulli rrelu bfloat16 float half double type_as"
)
"""Give what they get, element by element, as far as channels go; or mix along a dimension and keep its size."""

MOVES = words(
    "reshape permute transpose t unsqueeze squeeze expand flatten unflatten select slice narrow split "
    "split_with_sizes chunk unbind stack flip roll pixel_unshuffle channel_shuffle movedim "
    "moveaxis swapaxes swapdims repeat tile repeat_interleave tensor_split hsplit vsplit numpy_T mT diagonal unfold "
    "expand_as reshape_as view_as"
)
"""Move elements."""

PARTS = words("split chunk unbind tensor_split")
"""Cut a tensor into parts."""

POOLS = words(
    "max_pool avg_pool adaptive_avg_pool adaptive_max_pool upsample_ reflection_pad replication_pad lp_pool "
    "fractional_max_pool grid_sampler im2col _upsample"
)
"""Names begin so: they work on the positions of each channel."""

REDUCTIONS = words(
    "mean sum amax amin max min var std var_mean std_mean norm linalg_vector_norm logsumexp any all prod argmax argmin "
    "median"
)
"""Sums, means, extrema along dimensions."""

JOINS = words(
    "copy_ copy masked_fill masked_fill_ where lerp addcmul addcdiv prelu rsub clamp "
    "relu6 selu celu elu leaky_relu hardswish hardsigmoid hardtanh silu mish gelu softplus log_sigmoid softshrink "
    "hardshrink tanhshrink softsign threshold"
)
"""Combine tensors element by element, beside those that torch tags as pointwise."""

NO_CHANNELS = words(
    "arange full zeros ones empty scalar_tensor zeros_like ones_like full_like empty_like rand randn rand_like "
    "randn_like new_zeros new_ones new_full new_empty eye linspace tril_indices triu_indices meshgrid"
)
"""Make constants."""

STRUCTURED = words(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d embedding matmul mm addmm"
)
"""Operations that tell the dimensions of a weight apart, where it is not their input."""

WEIGHT_MOVES = words("t transpose permute split split_with_sizes chunk slice narrow detach alias to")

MIXING = words(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d matmul mm bmm addmm baddbmm einsum "
    "scaled_dot_product_attention embedding convolution lstm gru rnn_tanh rnn_relu"
)
"""Operations that a block's input does not survive."""
