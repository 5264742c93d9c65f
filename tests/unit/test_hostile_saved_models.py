"""SavedModels that would touch files or run code: refused before TensorFlow loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpnet_cli.errors import ModelFileError


@pytest.mark.parametrize("kind", ["WriteFile", "ReadFile", "SaveV2", "EagerPyFunc", "DebugIdentityV3"])
def test_a_saved_model_that_touches_files_or_runs_python(tmp_path: Path, keras_loaded: None, kind: str) -> None:
    tf = pytest.importorskip("tensorflow")
    from bpnet_cli.inference.backends import load_backend

    target = str(tmp_path / "stolen")

    class Network(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")])
        def serve(self, image: Any) -> dict[str, Any]:
            if kind == "WriteFile":
                tf.io.write_file(target, "x")
            elif kind == "SaveV2":
                tf.raw_ops.SaveV2(prefix=target, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1.0)])
            maps = tf.cast(image, tf.float32)[:, ::8, ::8]
            if kind == "ReadFile":
                maps += tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)
            elif kind == "DebugIdentityV3":
                maps = tf.raw_ops.DebugIdentityV3(input=maps, debug_urls=[f"file://{target}"])
            elif kind == "EagerPyFunc":
                maps = tf.py_function(lambda values: values, [maps], tf.float32)
            return {"heatmaps": maps, "pafs": maps}

    network = Network()
    tf.saved_model.save(network, str(tmp_path / "m"), signatures={"serving_default": network.serve})
    with pytest.raises(ModelFileError, match=f"has the operation '{kind}', which no pose network needs at"):
        load_backend(tmp_path / "m")
    assert not list(tmp_path.glob("stolen*"))


@pytest.mark.parametrize("way", ["control", "main_op", "saver"])
def test_a_saved_model_of_the_old_form_that_saves_when_it_runs(tmp_path: Path, keras_loaded: None, way: str) -> None:
    tf = pytest.importorskip("tensorflow")
    from bpnet_cli.inference.backends import load_backend

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        image = v1.placeholder(tf.uint8, [None, None, None, 3], name="image")
        save = tf.raw_ops.SaveV2(
            prefix=str(tmp_path / "stolen"), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1.0)]
        )
        with tf.control_dependencies([save] if way == "control" else []):
            maps = tf.identity(tf.cast(image, tf.float32)[:, ::8, ::8])
        v1.get_variable("w", [1], initializer=tf.zeros_initializer())
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.builder.SavedModelBuilder(str(tmp_path / "m"))
        signature = v1.saved_model.predict_signature_def({"image": image}, {"heatmaps": maps, "pafs": maps})
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=save if way == "main_op" else None
        )
        builder.save()
    with pytest.raises(ModelFileError, match=r"has the operation '\w+', which no pose network needs at its place"):
        load_backend(tmp_path / "m")
    assert not list(tmp_path.glob("stolen*"))
