"""ONNX files as torch modules.

In: the path of a convolutional network's ONNX file. Out: `graph.OnnxGraph`, a torch module that computes the same for
any batch size and device. To add an operator, register a builder in layers.py, elementwise.py, shapes.py or resize.py.
"""
